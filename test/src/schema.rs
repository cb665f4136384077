//! JSON Schema, as much of it as our schemas use. A keyword that is not known here is
//! an error, so that a schema cannot say what nobody checks.

use serde_json::{Map, Value};

/// Holds `document` against `schema`, as any reader of the schema would.
///
/// # Errors
/// Where the document does not fit, and why; or the schema cannot be used.
pub fn check(schema: &Value, document: &Value) -> Result<(), String> {
    Checker::new(schema, false).check(schema, document, "")
}

/// The same for a document that this very build has made: everything in it has to be described.
/// That is, there are no members but those that the schema has, and no values but those of
/// `x-values`, which is our own keyword: an object with the known values and their meanings, of
/// a string to which others may be added.
///
/// # Errors
/// As [`check`].
pub fn check_own(schema: &Value, document: &Value) -> Result<(), String> {
    Checker::new(schema, true).check(schema, document, "")
}

#[derive(Clone, Copy)]
struct Checker<'s> {
    /// The whole, in which other schemas may be embedded by their `$id`.
    root: &'s Value,
    /// The one of them in which we are.
    resource: &'s Value,
    own: bool,
}

impl<'s> Checker<'s> {
    fn new(root: &'s Value, own: bool) -> Self {
        let resource = root;
        Self {
            root,
            resource,
            own,
        }
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Some(keywords) = schema.as_object() else {
            return Err(format!("the schema for {at} is no object"));
        };
        for (keyword, wanted) in keywords {
            self.keyword(keywords, keyword, wanted, value, at)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
        at: &str,
    ) -> Result<(), String> {
        let wrong = |what: String| Err(format!("{at}: {what}, and it is {value}"));
        match keyword {
            "$schema" | "$id" | "$defs" | "title" | "description" | "contentEncoding" => Ok(()),
            "$ref" => {
                let (there, definition) = self.definition(wanted)?;
                there.check(definition, value, at)
            }
            "x-values" if self.own && wanted.get(value.as_str().unwrap_or_default()).is_none() => {
                wrong(format!("must be one of {wanted}"))
            }
            "x-values" => Ok(()),
            "const" if value != wanted => wrong(format!("must be {wanted}")),
            "const" => Ok(()),
            "enum" if !list(wanted).contains(value) => wrong(format!("must be one of {wanted}")),
            "enum" => Ok(()),
            "type" if !has_type(wanted, value) => wrong(format!("must have the type {wanted}")),
            "type" => Ok(()),
            "minimum" if value.as_f64() < wanted.as_f64() => {
                wrong(format!("must be {wanted} at least"))
            }
            "minimum" => Ok(()),
            "minLength" | "maxLength" | "minItems" | "maxItems" => {
                let length = match value {
                    Value::String(text) if keyword.ends_with("Length") => text.chars().count(),
                    Value::Array(items) if keyword.ends_with("Items") => items.len(),
                    _ => return Ok(()),
                };
                let wanted = wanted
                    .as_u64()
                    .and_then(|wanted| usize::try_from(wanted).ok());
                match wanted {
                    Some(least) if keyword.starts_with("min") && length < least => {
                        wrong(format!("must have {least} at least"))
                    }
                    Some(most) if keyword.starts_with("max") && length > most => {
                        wrong(format!("must have {most} at most"))
                    }
                    Some(_) => Ok(()),
                    None => Err(format!("the {keyword} for {at} is no number")),
                }
            }
            "required" => {
                let missing =
                    |name: &&Value| value.get(name.as_str().unwrap_or_default()).is_none();
                match list(wanted).iter().find(missing) {
                    Some(name) if value.is_object() => Err(format!("{at}: there is no {name}")),
                    _ => Ok(()),
                }
            }
            "properties" => {
                let described = |name: &String| wanted.get(name).is_some();
                let closed = schema.contains_key("type")
                    && !schema.contains_key("additionalProperties")
                    && self.own;
                let names = value.as_object().into_iter().flat_map(Map::keys);
                match names.into_iter().find(|name| closed && !described(name)) {
                    Some(name) => Err(format!("{at}: {name} is not described")),
                    None => self.each(value, at, |name| wanted.get(name)),
                }
            }
            "additionalProperties" => {
                let named = |name: &str| {
                    schema
                        .get("properties")
                        .is_some_and(|all| all.get(name).is_some())
                };
                self.each(value, at, |name| (!named(name)).then_some(wanted))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.try_for_each(|(index, item)| {
                    self.check(wanted, item, &format!("{at}/{index}"))
                })
            }
            "allOf" => list(wanted)
                .iter()
                .try_for_each(|one| self.check(one, value, at)),
            "if" => match schema.get("then") {
                Some(then) if self.check(wanted, value, at).is_ok() => self.check(then, value, at),
                _ => Ok(()),
            },
            "then" => Ok(()),
            "anyOf" => {
                let fits = |one: &Value| self.check(one, value, at).is_ok();
                if list(wanted).iter().any(fits) {
                    Ok(())
                } else {
                    wrong("fits none of what is allowed".to_owned())
                }
            }
            _ => Err(format!(
                "the schema for {at} has the unknown keyword {keyword}"
            )),
        }
    }

    /// Checks the members of an object that have a schema.
    fn each<'v>(
        &self,
        value: &Value,
        at: &str,
        schema: impl Fn(&str) -> Option<&'v Value>,
    ) -> Result<(), String> {
        for (name, member) in value.as_object().into_iter().flatten() {
            if let Some(schema) = schema(name) {
                self.check(schema, member, &format!("{at}/{name}"))?;
            }
        }
        Ok(())
    }

    /// What a reference leads to, and the schema in which that is. The reference is a pointer into
    /// the same schema, or begins with the `$id` of an embedded one.
    fn definition(self, reference: &Value) -> Result<(Self, &'s Value), String> {
        let find = || {
            let text = reference.as_str()?;
            let (id, pointer) = text.split_once('#').unwrap_or((text, ""));
            let resource = if id.is_empty() {
                self.resource
            } else {
                let mut embedded = self.root.get("$defs")?.as_object()?.values();
                embedded.find(|one| one.get("$id").is_some_and(|own| own == id))?
            };
            Some((Self { resource, ..self }, resource.pointer(pointer)?))
        };
        find().ok_or_else(|| format!("the schema refers to {reference}, which is not in it"))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match wanted {
        Value::String(name) => is(name),
        names => list(names).iter().filter_map(Value::as_str).any(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_keyword_can_fail() {
        for (schema, fits, does_not) in [
            (json!({"type": ["string", "null"]}), json!(null), json!(1)),
            (json!({"type": "integer"}), json!(1), json!(1.5)),
            (json!({"const": 1}), json!(1), json!(2)),
            (json!({"enum": ["a", "b"]}), json!("b"), json!("c")),
            (json!({"minimum": 1}), json!(1), json!(0)),
            (json!({"required": ["a"]}), json!({"a": 1}), json!({"b": 1})),
            (
                json!({"properties": {"a": {"type": "string"}}}),
                json!({"b": 1}),
                json!({"a": 1}),
            ),
            (
                json!({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}),
                json!({"a": 1, "b": ""}),
                json!({"b": 1}),
            ),
            (
                json!({"items": {"type": "string"}}),
                json!(["a"]),
                json!([1]),
            ),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
                json!(null),
                json!(1),
            ),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
                json!(""),
                json!(1),
            ),
            // A reference within an embedded schema is to a definition there.
            (
                json!({"$ref": "urn:x", "$defs": {
                    "a": {"type": "null"},
                    "x": {"$id": "urn:x", "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
                }}),
                json!(""),
                json!(1),
            ),
            (
                json!({"$ref": "urn:x#/$defs/a", "$defs": {
                    "x": {"$id": "urn:x", "$defs": {"a": {"type": "string"}}},
                }}),
                json!(""),
                json!(1),
            ),
            (
                json!({"allOf": [{"type": "string"}, {"minLength": 2}, {"maxLength": 3}]}),
                json!("äöü"),
                json!("ä"),
            ),
            (json!({"maxLength": 3}), json!("äöü"), json!("äöüß")),
            (
                json!({"minItems": 1, "maxItems": 2}),
                json!([1, 2]),
                json!([]),
            ),
            (json!({"maxItems": 1}), json!([1]), json!([1, 2])),
            (
                json!({
                    "if": {"properties": {"a": {"const": 1}}},
                    "then": {"required": ["b"]},
                }),
                json!({"a": 2}),
                json!({"a": 1}),
            ),
        ] {
            assert_eq!(check(&schema, &fits), Ok(()), "{schema}");
            assert!(check(&schema, &does_not).is_err(), "{schema}");
        }
    }

    #[test]
    fn what_this_build_has_made_must_be_described() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"x-values": {"b": "The letter."}}},
        });
        let known = json!({"a": "b"});
        assert_eq!(check_own(&schema, &known), Ok(()));
        for later in [json!({"a": "c"}), json!({"a": "b", "d": 1})] {
            assert_eq!(check(&schema, &later), Ok(()), "{later}");
            assert!(check_own(&schema, &later).is_err(), "{later}");
        }
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_an_error() {
        for schema in [
            json!({"pattern": "x"}),
            json!({"$ref": "#/$defs/a"}),
            json!({"$ref": "urn:a"}),
            json!({"minLength": "x"}),
            json!(true),
        ] {
            assert!(check(&schema, &json!("x")).is_err(), "{schema}");
        }
    }
}

//! JSON Schema, as much of it as our schemas use. A keyword that is not known here is
//! an error, so that a schema cannot say what nobody checks.

use serde_json::{Map, Value};

/// Holds `document` against `schema`.
///
/// # Errors
/// Where the document does not fit, and why; or the schema cannot be used.
pub fn check(schema: &Value, document: &Value) -> Result<(), String> {
    Checker { root: schema }.check(schema, document, "")
}

struct Checker<'s> {
    root: &'s Value,
}

impl Checker<'_> {
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
            "$schema" | "$defs" | "title" | "description" => Ok(()),
            "$ref" => self.check(self.definition(wanted)?, value, at),
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
            "required" => {
                let missing =
                    |name: &&Value| value.get(name.as_str().unwrap_or_default()).is_none();
                match list(wanted).iter().find(missing) {
                    Some(name) if value.is_object() => Err(format!("{at}: there is no {name}")),
                    _ => Ok(()),
                }
            }
            "properties" => self.each(value, at, |name| wanted.get(name)),
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

    fn definition(&self, reference: &Value) -> Result<&Value, String> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        pointer
            .and_then(|pointer| self.root.pointer(pointer))
            .ok_or_else(|| format!("the schema refers to {reference}, which is not in it"))
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
        ] {
            assert_eq!(check(&schema, &fits), Ok(()), "{schema}");
            assert!(check(&schema, &does_not).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_an_error() {
        for schema in [
            json!({"pattern": "x"}),
            json!({"$ref": "#/$defs/a"}),
            json!(true),
        ] {
            assert!(check(&schema, &json!("x")).is_err(), "{schema}");
        }
    }
}

//! The schemas of the plan and of the manifest say what the engine writes and reads.
//!
//! What a kind of decision, mount, holder or obstacle is called is asked of the engine itself, by
//! a name that none has: so whoever adds one has to describe it in the schema, and nowhere else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test, of which clippy sees only the functions that are marked as such"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use remap_engine::archive::{ARCHIVE_SCHEMA, CONTAINER_SCHEMA, Container, Document};
use remap_engine::manifest::{self, CarriedMount, DumpOptions, FileSystem, Manifest};
use remap_engine::mountinfo::Device;
use remap_engine::mountmap::{EphemeralReason, Mount};
use remap_engine::obstacle::Obstacle;
use remap_engine::ownership::Along;
use remap_engine::plan::{FilePlan, PLAN_SCHEMA, RemapPlan};
use remap_engine::policy::MountPolicy;
use remap_engine::process::UseKind;
use remap_engine::text::TextPath;
use remap_test::schema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A plan of the first builds.
const FIRST_PLAN: &str = include_str!("../../remap-engine/testdata/notes-1/plan.json");

fn plan_schema() -> Value {
    serde_json::from_str(PLAN_SCHEMA).unwrap()
}

/// The schema of one part of the plan, complete.
fn part(name: &str) -> Value {
    let mut schema = plan_schema();
    let own = schema["$defs"][name].clone();
    let definitions = schema["$defs"].take();
    schema = own;
    schema["$defs"] = definitions;
    schema
}

/// All names that `T` knows where `document` has one that nobody knows.
fn known<T: DeserializeOwned>(document: Value) -> BTreeSet<String> {
    let Err(error) = serde_json::from_value::<T>(document) else {
        panic!("an unknown name was read");
    };
    let text = error.to_string();
    let (_, names) = text.split_once("expected ").expect("the known names");
    let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
    assert!(names.len() > 2, "{text}");
    names.into_iter().map(str::to_owned).collect()
}

fn described(values: &Value) -> BTreeSet<String> {
    let values = values["x-values"].as_object().expect("known values");
    assert!(
        values
            .values()
            .all(|text| text.as_str().is_some_and(|text| text.ends_with('.')))
    );
    values.keys().cloned().collect()
}

/// Every kind of a `T`, which is told by the field `tag`, is read from `fields`, where each has
/// what it needs, and fits `schema` as it is written again.
fn each_kind_fits<T: Serialize + DeserializeOwned>(schema: &Value, tag: &str, fields: &Value) {
    let values = &schema["properties"][tag];
    let with = |name: &str| {
        let mut document = fields.clone();
        document[tag] = json!(name);
        document
    };
    let names = known::<T>(with("?"));
    assert_eq!(names, described(values), "{tag}");
    assert!(schema::check_own(schema, &with("?")).is_err());
    for name in names {
        let kind: T = serde_json::from_value(with(&name))
            .unwrap_or_else(|error| panic!("{name} is not like its schema: {error}"));
        let written = serde_json::to_value(&kind).unwrap();
        assert_eq!(
            schema::check_own(schema, &written),
            Ok(()),
            "{name}: {written}"
        );
        let mut later = written.clone();
        later["later"] = json!({"any": "thing"});
        assert_eq!(schema::check(schema, &later), Ok(()), "{name}");
        what_fits_can_be_read::<T>(schema, &written);
    }
}

/// A document with all members that the schema of an object describes, each with some value.
fn sample(root: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(root, root.pointer(&reference[1..]).unwrap());
    }
    if let Some(first) = schema["anyOf"].as_array().and_then(|all| all.last()) {
        return sample(root, first);
    }
    if let Some(values) = schema["x-values"].as_object() {
        return json!(values.keys().next().unwrap());
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    if schema["contentEncoding"] == "base64" {
        return json!("AQID");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => &kinds[0],
        kind => kind,
    };
    match kind.as_str().unwrap() {
        "boolean" => json!(true),
        "integer" => json!(7),
        "string" => json!("x".repeat(schema["minLength"].as_u64().unwrap_or(3) as usize)),
        "array" => {
            let count = schema["minItems"].as_u64().unwrap_or(1);
            (0..count).map(|_| sample(root, &schema["items"])).collect()
        }
        "object" => match schema["properties"].as_object() {
            Some(members) => members
                .iter()
                .map(|(name, schema)| (name.clone(), sample(root, schema)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            None => json!({"some": sample(root, &schema["additionalProperties"])}),
        },
        other => panic!("no sample of type {other}"),
    }
}

fn sample_of_part(name: &str) -> Value {
    let schema = part(name);
    sample(&schema, &schema)
}

#[test]
fn each_decision_is_described() {
    each_kind_fits::<FilePlan>(&part("file"), "decision", &sample_of_part("file"));
}

#[test]
fn each_class_of_mounts_is_described() {
    each_kind_fits::<Mount>(&part("mount"), "class", &sample_of_part("mount"));
    let reasons = &part("mount")["properties"]["reason"];
    assert_eq!(known::<EphemeralReason>(json!("?")), described(reasons));
    let policy = &part("mount")["properties"]["policy"]["properties"]["treatment"];
    let treatment = json!({"treatment": "?"});
    assert_eq!(known::<MountPolicy>(treatment), described(policy));
    let along = &part("mount")["properties"]["others"]["items"]["properties"]["along"];
    assert_eq!(known::<Along>(json!("?")), described(along));
}

#[test]
fn each_obstacle_is_described() {
    each_kind_fits::<Obstacle>(&part("obstacle"), "obstacle", &sample_of_part("obstacle"));
}

#[test]
fn each_way_to_hold_a_file_is_described() {
    let schema = part("held_by");
    let all = schema["anyOf"].as_array().unwrap();
    let mut names = described(&all[0]);
    for one in &all[1..] {
        names.extend(one["properties"].as_object().unwrap().keys().cloned());
    }
    assert_eq!(known::<UseKind>(json!("?")), names);
    for kind in [
        UseKind::Fd(3),
        UseKind::Mapping(4096, 8192),
        UseKind::Exe,
        UseKind::Cwd,
        UseKind::Root,
    ] {
        let written = serde_json::to_value(&kind).unwrap();
        assert_eq!(schema::check_own(&schema, &written), Ok(()), "{written}");
    }
    for other in [json!("ring"), json!({"ring": 1}), json!({"mapping": [1]})] {
        assert!(schema::check_own(&schema, &other).is_err(), "{other}");
    }
}

#[test]
fn a_plan_with_everything_comes_back_as_described() {
    let schema = plan_schema();
    let full = sample(&schema, &schema);
    assert_eq!(schema::check_own(&schema, &full), Ok(()));
    let plan: RemapPlan = serde_json::from_value(full).unwrap();
    let written: Value = serde_json::from_slice(&plan.to_json().unwrap()).unwrap();
    assert_eq!(schema::check_own(&schema, &written), Ok(()));
    what_fits_can_be_read::<RemapPlan>(&schema, &written);
}

#[test]
fn a_plan_of_the_first_builds_is_still_one() {
    let schema = plan_schema();
    let first: Value = serde_json::from_str(FIRST_PLAN).unwrap();
    assert_eq!(schema::check_own(&schema, &first), Ok(()));
    let plan: RemapPlan = serde_json::from_value(first).unwrap();
    let again = serde_json::to_value(&plan).unwrap();
    assert_eq!(schema::check_own(&schema, &again), Ok(()));
}

#[test]
fn a_manifest_is_as_described() {
    let schema: Value = serde_json::from_str(manifest::SCHEMA).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("remap-mount-0.tar"), b"abc").unwrap();
    let mount = CarriedMount {
        partial: true,
        destination: "/dev/shm".into(),
        archive: "remap-mount-0.tar".to_owned(),
        origin: Some(FileSystem {
            boot: "b".to_owned(),
            device: Device { major: 0, minor: 9 },
        }),
        shared: BTreeSet::new(),
        below: PathBuf::new(),
        fs_options: vec!["size=65536k".to_owned()],
        bytes: 3,
        entries: 2,
        sockets: vec![TextPath("dir/s".into())],
    };
    let options = DumpOptions {
        empty_ns: vec!["network".to_owned()],
        ..DumpOptions::default()
    };
    let versions = BTreeMap::from([("criu".to_owned(), "4.1".to_owned())]);
    let manifest = Manifest::build(dir.path(), versions, options, vec![mount]).unwrap();
    manifest.write(dir.path()).unwrap();
    let text = std::fs::read(dir.path().join(manifest::FILE_NAME)).unwrap();
    let written: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(schema::check_own(&schema, &written), Ok(()));
    what_fits_can_be_read::<Manifest>(&schema, &written);

    let mut short = written.clone();
    short["files"]["remap-mount-0.tar"]["sha256"] = json!("ab");
    assert!(schema::check(&schema, &short).is_err());

    let full = sample(&schema, &schema);
    let read: Manifest = serde_json::from_value(full).unwrap();
    let again = serde_json::to_value(&read).unwrap();
    assert_eq!(schema::check_own(&schema, &again), Ok(()));
}

/// Without any field the document does not fit its schema, or a reader does without as well.
fn what_fits_can_be_read<T: DeserializeOwned>(schema: &Value, written: &Value) {
    let mut required = 0;
    for field in written.as_object().unwrap().keys() {
        let mut without = written.clone();
        without.as_object_mut().unwrap().remove(field);
        let is_read = serde_json::from_value::<T>(without.clone()).is_ok();
        let fits = schema::check(schema, &without).is_ok();
        assert!(is_read || !fits, "without {field}");
        required += u32::from(!fits);
    }
    assert!(required > 1, "{schema}");
}

/// The schema of a document describes what is read and written of it; `full` has all of it.
fn a_document_is_as_described<T: Serialize + DeserializeOwned>(schema: &str) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let full = sample(&schema, &schema);
    let read: T = serde_json::from_value(full.clone()).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written, full);
    assert_eq!(schema::check_own(&schema, &written), Ok(()));
    what_fits_can_be_read::<T>(&schema, &written);
    let mut later = full;
    later["later"] = json!({"any": "thing"});
    let read: T = serde_json::from_value(later.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), later);
}

#[test]
fn the_documents_of_an_archive_are_as_described() {
    a_document_is_as_described::<Document>(ARCHIVE_SCHEMA);
    a_document_is_as_described::<Container>(CONTAINER_SCHEMA);
}

//! What the engine says fits the schema, and a client reads it.

use std::collections::BTreeMap;

use remap_engine::manifest::DumpOptions;
use remap_engine::preview::{Forecast, Preview, Tasks};
use serde_json::{Value, json};

use crate::document::{Container, Document, VERSION, Verdict};
use crate::message::PlanRequest;
use crate::{plan_schema, view};

/// The preview of a checkpoint of this very process, which has a nameless file open.
fn document() -> Document<Forecast> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    let _nameless = tempfile::tempfile().unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    let preview = Preview::new(
        dir.path(),
        own,
        false,
        &DumpOptions::default(),
        &BTreeMap::new(),
    );
    let preview = preview.unwrap();
    let plan = preview.plan(Tasks::Running).unwrap();
    Document {
        version: VERSION,
        verdict: Verdict::Refused,
        container: Container {
            id: "own".into(),
            namespace: "test".into(),
            pid: std::process::id(),
            status: "running".into(),
            frozen: false,
        },
        request: (&PlanRequest::default()).into(),
        versions: BTreeMap::from([("criu".into(), "4.1".into())]),
        abridged: false,
        forecast: preview.judge(plan).unwrap(),
    }
}

#[test]
fn a_real_document_fits_the_schema_and_one_with_a_fault_does_not() {
    let schema: Value = serde_json::from_str(&plan_schema().unwrap()).unwrap();
    let check = |document: &Value| remap_test::schema::check(&schema, document);
    let mut document = serde_json::to_value(document()).unwrap();
    assert_eq!(remap_test::schema::check_own(&schema, &document), Ok(()));
    assert_eq!(check(&document), Ok(()));
    document["later"] = json!({"anything": 1});
    assert_eq!(check(&document), Ok(()), "fields may be added");
    document["plan"]["files"][0]["inode"] = json!("7");
    let error = check(&document).unwrap_err();
    assert!(error.contains("/plan/files/0/inode"), "{error}");
    document["plan"]["files"] = json!([]);
    document.as_object_mut().unwrap().remove("verdict");
    assert!(check(&document).unwrap_err().contains("verdict"));
}

#[test]
fn a_client_reads_what_it_knows() {
    let made = document();
    let text = serde_json::to_vec(&made).unwrap();
    let read: Document<view::Forecast> = serde_json::from_slice(&text).unwrap();
    assert_eq!(read.verdict, Verdict::Refused);
    assert_eq!(
        read.forecast.plan.mounts.len(),
        made.forecast.plan.map.mounts.len()
    );
    assert_eq!(
        read.forecast.plan.files.len(),
        made.forecast.plan.files.len()
    );
    let ghost = read
        .forecast
        .plan
        .files
        .iter()
        .find(|file| file.decision == "ghost");
    let holder = ghost
        .map(|file| &file.holders[0])
        .expect("the nameless file");
    assert!(
        holder.how().starts_with("fd ") && holder.name.ends_with("(deleted)"),
        "{holder:?}"
    );
    assert!(read.forecast.refusals[0].what.contains("without this shim"));
}

#[test]
fn what_a_later_shim_says_can_be_read() {
    let text = json!({
        "version": 1,
        "verdict": "depends",
        "container": {"id": "c", "namespace": "n", "pid": 7, "status": "dreaming", "frozen": true, "x": 1},
        "request": {"exit": true, "tcp_established": false, "ext_unix_sk": false, "shell_job": false, "file_locks": true},
        "plan": {
            "mounts": [{"destination": "/a", "class": "borrowed", "fs_type": "tmpfs"}],
            "files": [{"inode": 1, "decision": "moved", "holders": [{"pid": 1, "by": {"ring": [1]}, "name": "/a/x"}]}],
        },
    });
    let read: Document<view::Forecast> = serde_json::from_value(text).unwrap();
    assert_eq!(read.verdict, Verdict::Unknown);
    assert_eq!(read.forecast.plan.mounts[0].class, "borrowed");
    assert_eq!(read.forecast.plan.files[0].holders[0].how(), "ring");
}

//! Each log in `testdata/criu-logs` is of a real run, cut to the lines around the error; its first
//! line says of which. `expected.tsv` there has one line for each: its name, the failure's name in
//! the table, and the object.

use std::{collections::BTreeSet, path::Path};

use proptest::prelude::*;

use super::*;

const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/criu-logs");

#[test]
fn every_log_is_explained() {
    let expected = std::fs::read_to_string(Path::new(LOGS).join("expected.tsv")).unwrap();
    let mut listed = BTreeSet::new();
    for line in expected.lines() {
        let [log, failure, object] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} does not have three columns");
        };
        let name = format!("{log}.log");
        let explanation = explain(&std::fs::read(Path::new(LOGS).join(&name)).unwrap()).unwrap();
        assert_eq!(explanation.failure, Some(failure), "{log}: {explanation}");
        assert_eq!(explanation.object.to_string(), object, "{log}");
        listed.insert(name);
    }
    let stored = std::fs::read_dir(LOGS)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".log"))
        .collect();
    assert_eq!(listed, stored);
}

#[test]
fn an_explanation_is_one_line() {
    let log = b"(00.1) Dumping task (pid: 86 comm: app)\n\
        (00.2) 86 fdinfo 4: pos:                0 flags:           100002/0x1\n\
        (00.3) Dumping path for 4 fd via self 18 [/dev/shm/a\xff (deleted)]\n\
        (00.4) Error (criu/files-reg.c:1122): Can't create link remap for /dev/shm/a\xff. \
        Use link-remap option.\n";
    assert_eq!(
        explain(log).unwrap().to_string(),
        "an open or mapped file has lost its name: task 86 (app), descriptor 4, /dev/shm/a\\xff; \
         allow link-remap, or leave the mount to the engine, which remaps such files"
    );
}

#[test]
fn an_unknown_failure_is_its_first_error() {
    assert_eq!(explain(b""), None);
    let harmless = "(00.1) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n";
    assert_eq!(explain(harmless.as_bytes()), None);
    // The second would be known, if it came first.
    let log = format!(
        "{harmless}(00.2) Error (criu/a.c:1): the cause\n\
         (00.3) Error (compel/infect.c:1): Unable to detach from 12: No such process\n"
    );
    let explanation = explain(log.as_bytes()).unwrap();
    assert_eq!(explanation.to_string(), "Error (criu/a.c:1): the cause");
    assert_eq!(explanation.failure, None);
}

#[test]
fn names_are_unique() {
    let mut names = BTreeSet::new();
    for failure in failures().chain(ONLY_FIRST) {
        assert!(
            names.insert(failure.name),
            "{} is there twice",
            failure.name
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(log in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = explain(&log).map(|explanation| explanation.to_string());
    }

    /// Messages that are cut short, or have anything in their places.
    #[test]
    fn no_message_makes_it_panic(
        which in 0..failures().count(),
        filling in "[0-9a-z:)(/{} ]{0,12}|-1|99999999999",
        keep in 0..200_usize,
        before in prop::sample::select(vec![
            "(00.1) ", "(00.1)     42: ", "pie: 42: ", "pie:", "Dumping task (pid: ",
            "Dumping path for 4 fd [", ") 1 fdinfo ", "",
        ]),
    ) {
        let says = failures().nth(which).map_or("", |failure| failure.says);
        let message: String = says
            .split('{')
            .map(|part| part.split_once('}').map_or(part.to_owned(), |(_, text)| format!("{filling}{text}")))
            .collect();
        let line = format!("{before}Error (criu/a.c:1): {message}");
        let cut = line.as_bytes().get(..keep).unwrap_or(line.as_bytes());
        let _ = explain(cut).map(|explanation| explanation.to_string());
        let whole = explain(line.as_bytes());
        prop_assert!(whole.is_some());
    }
}

use super::*;
use proptest::prelude::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn policy(annotations: &[(&str, &str)]) -> Policy {
    let annotations = annotations
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Policy::of(&annotations.collect())
}

fn mounts(value: &str) -> Vec<(String, MountPolicy)> {
    let policy = policy(&[(MOUNTS, value)]);
    assert_eq!(policy.faults, [], "{value}");
    let text = |one: Override| (crate::text::escape(one.destination.as_os_str()), one.policy);
    policy.overrides.into_iter().map(text).collect()
}

/// The one fault in the value of [`MOUNTS`].
fn fault(annotation: &str, value: &str) -> String {
    let faults = policy(&[(annotation, value)]).faults;
    let [fault] = &faults[..] else {
        panic!("{annotation}={value}: {faults:?}");
    };
    fault.refusal().to_string()
}

#[test]
fn without_annotations_there_is_no_policy() {
    assert_eq!(policy(&[]), Policy::default());
    let others = [("org.criu.config", "/x"), (USER_ANNOTATION, "/y")];
    assert_eq!(policy(&others), Policy::default());
}

#[test]
fn each_policy_of_a_mount_has_its_word() {
    let value = "/a=carry;/b=ghost; /c=nameless ;/d=persistent;;/e=ignore;/f=refuse;/g=carry:64M;";
    let carry = |limit_bytes| MountPolicy::Carry { limit_bytes };
    let expected = [
        ("/a", carry(None)),
        ("/b", MountPolicy::Ghost),
        ("/c", MountPolicy::Nameless),
        ("/d", MountPolicy::Persistent),
        ("/e", MountPolicy::Ignore),
        ("/f", MountPolicy::Refuse),
        ("/g", carry(Some(64 << 20))),
    ];
    let expected = expected.map(|(path, policy)| (path.to_owned(), policy));
    assert_eq!(mounts(value), expected);
    assert_eq!(mounts(""), []);
}

#[test]
fn destinations_may_have_odd_characters() {
    for (value, expected) in [
        ("/a=b,c:d=ignore", "/a=b,c:d"),
        ("/a\\x3bb=ignore", "/a;b"),
        ("/a =ignore", "/a "),
        ("/a b/ü=ignore", "/a b/ü"),
        ("/\\xff=ignore", "/\\xff"),
        ("//a/./b/=ignore", "/a/b"),
        ("/=ignore", "/"),
    ] {
        assert_eq!(mounts(value), [(expected.into(), MountPolicy::Ignore)]);
    }
}

#[test]
fn what_is_wrong_is_said_with_what_is_right() {
    for (annotation, value, words) in [
        (MOUNTS, "/dev/shm=keep", "persistent, ignore, refuse"),
        (MOUNTS, "/dev/shm", "DESTINATION=POLICY"),
        (MOUNTS, "/dev/shm=carry:", "carry:SIZE"),
        (MOUNTS, "/dev/shm=carry:lots", "carry:SIZE"),
        (MOUNTS, "/dev/shm=ghost:1M", "carry:SIZE"),
        (MOUNTS, "dev/shm=carry", "absolute"),
        (MOUNTS, "=carry", "absolute"),
        (MOUNTS, "/a\\b=carry", "\\x5c"),
        (MOUNTS, "/a=carry;/a/=ghost", "named before"),
        (FILE_LOCKS, "yes", "true or false"),
        (FILE_LOCKS, "", "true or false"),
        (CARRY_LIMIT, "many", "K, M or G"),
        (GHOST_LIMIT, "-1", "K, M or G"),
        ("io.remap.mount", "/a=carry", "io.remap.mounts, "),
    ] {
        let said = fault(annotation, value);
        assert!(said.contains(annotation), "{said}");
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

#[test]
fn what_is_right_counts_beside_what_is_wrong() {
    let both = policy(&[(MOUNTS, "/a=carry;/b=?"), (EXIT, "true"), (SHELL_JOB, "1")]);
    assert_eq!(both.overrides.len(), 1);
    assert!(both.exit && !both.options.shell_job);
    let error = both.check().unwrap_err().to_string();
    assert!(
        error.contains("\"/b=?\"") && error.contains("; also: "),
        "{error}"
    );
    assert!(error.contains(SHELL_JOB), "{error}");
}

#[test]
fn each_annotation_is_known_and_sets_its_own() {
    let mut seen = Vec::new();
    for (name, value) in [
        (MOUNTS, "/a=carry"),
        (CARRY_LIMIT, "1M"),
        (GHOST_LIMIT, "2000000"),
        (EXIT, "true"),
        (TCP_ESTABLISHED, "true"),
        (TCP_CLOSE, "true"),
        (EXT_UNIX_SK, "true"),
        (SHELL_JOB, "true"),
        (FILE_LOCKS, "true"),
        (LOSE_EXEC_SESSIONS, "true"),
    ] {
        assert!(ANNOTATIONS.contains(&name), "{name}");
        let one = policy(&[(name, value)]);
        one.check().unwrap();
        assert!(one != Policy::default() && !seen.contains(&one), "{name}");
        seen.push(one);
        if value == "true" {
            assert_eq!(policy(&[(name, "false")]), Policy::default());
        }
    }
    assert_eq!(
        policy(&[(time_limit::DUMP.annotation, "5")]),
        Policy::default()
    );
}

proptest! {
    #[test]
    fn every_destination_can_be_written(name in prop::collection::vec(1u8..=255, 1..80)) {
        let path = Path::new("/").join(OsStr::from_bytes(&name));
        let path: std::path::PathBuf = path.components().collect();
        let mut text = crate::text::escape(path.as_os_str());
        text = text.replace(';', "\\x3b");
        let policy = policy(&[(MOUNTS, &format!("{text}=carry"))]);
        prop_assert_eq!(&policy.faults, &[]);
        prop_assert_eq!(&policy.overrides[0].destination, &path);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        for name in ANNOTATIONS {
            let _ = policy(&[(name, &text)]).check();
        }
    }
}

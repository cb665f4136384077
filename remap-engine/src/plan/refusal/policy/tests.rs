use super::*;
use crate::mountinfo::Device;
use crate::mountmap::{EphemeralReason, MountClass, MountMap};
use crate::plan::{Holder, MountPoint};
use crate::policy::Policy;
use crate::process::UseKind;

fn plan(class: MountClass, value: &str) -> (RemapPlan, Intent) {
    let device = Device { major: 0, minor: 9 };
    let mount = Mount::tmpfs(1, "/dev/shm", class);
    let mut map = MountMap {
        mounts: vec![mount],
    };
    let policy = Policy::of(&[(MOUNTS.to_owned(), value.to_owned())].into());
    map.apply(&policy.overrides);
    let file = |inode| FilePlan {
        device,
        inode,
        mount: Some(MountPoint("/dev/shm".into())),
        links: 1,
        size_bytes: 0,
        allocated_bytes: 0,
        holders: vec![Holder {
            pid: 7,
            by: UseKind::Fd(3),
            name: "/dev/shm/a".into(),
        }],
        decision: Decision::Forbidden,
    };
    let plan = RemapPlan {
        version: crate::plan::PLAN_VERSION,
        map,
        files: (1..=20).map(file).collect(),
        exec_sessions: vec![],
        obstacles: vec![],
        ghost_limit_bytes: 0,
    };
    let intent = Intent {
        policy,
        ..Intent::default()
    };
    (plan, intent)
}

/// The one refusal of the policy `value` for a mount on `/dev/shm`, if there is one.
fn refusal(class: MountClass, value: &str) -> Option<String> {
    let (plan, intent) = plan(class, value);
    let mut refusals = plan.policy_refusals(&intent);
    assert!(refusals.len() < 2, "{value}: {refusals:?}");
    refusals.pop().map(|refusal| refusal.to_string())
}

#[test]
fn what_can_be_done_is_not_in_the_way() {
    for value in [
        "",
        "/dev/shm=carry",
        "/dev/shm=ghost",
        "/dev/shm=nameless",
        "/dev/shm=persistent",
        "/dev/shm=ignore",
    ] {
        assert_eq!(
            refusal(MountClass::ExternalTmpfsPrivate, value),
            None,
            "{value}"
        );
    }
}

#[test]
fn a_policy_that_matches_no_mount_lists_those_that_there_are() {
    let said = refusal(MountClass::ExternalTmpfsPrivate, "/dev/shn=carry").unwrap();
    assert!(said.contains("names /dev/shn,"), "{said}");
    assert!(said.ends_with("one of its mounts: /dev/shm"), "{said}");
}

#[test]
fn a_policy_that_the_mount_does_not_allow_says_why() {
    let read_only = MountClass::ExternalEphemeral {
        reason: EphemeralReason::ReadOnly,
    };
    let said = refusal(read_only, "/dev/shm=carry").unwrap();
    assert!(
        said.contains("says carry of") && said.contains("it is read-only"),
        "{said}"
    );
    let said = refusal(MountClass::Internal, "/dev/shm=ghost").unwrap();
    assert!(said.contains("no bind of the host's"), "{said}");
}

#[test]
fn a_mount_of_which_no_file_may_be_held_names_some_that_are() {
    for class in [MountClass::Internal, MountClass::ExternalTmpfsPrivate] {
        let said = refusal(class, "/dev/shm=refuse").unwrap();
        assert!(said.contains("pid 7 by fd 3 on /dev/shm/a"), "{said}");
        assert!(said.contains(", and 12 more"), "{said}");
    }
}

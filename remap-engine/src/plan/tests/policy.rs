//! Plans of containers whose annotations have policies for mounts.

use super::*;
use crate::policy::{MOUNTS, Policy};

/// The plan of a container whose mount on `/data` and `/dev/shm` have policies.
fn planned_by(policies: &str, uses: Vec<FileUse>, others: &[(i32, u64)]) -> RemapPlan {
    let mut scan = scan_of(uses);
    let annotations = [(MOUNTS.to_owned(), policies.to_owned())];
    scan.map.apply(&Policy::of(&annotations.into()).overrides);
    if !others.is_empty() {
        share(&mut scan, others);
    }
    planned(&scan, gone)
}

#[test]
fn a_mount_that_is_to_be_ignored_is_neither_carried_nor_in_the_way() {
    let uses = vec![
        held(2, 9, 1, "/dev/shm/sem.Xy (deleted)"),
        held(4, 10, 1, "/data/x (deleted)"),
        held(4, 11, 0, "/data/y (deleted)"),
    ];
    let plan = planned_by("/dev/shm=ignore;/data=ignore", uses, &[]);
    let decisions: Vec<_> = plan.files.iter().map(|file| &file.decision).collect();
    use Decision::{Ghost, Stays};
    assert_eq!(decisions, [&Stays, &Stays, &Ghost]);
    assert_eq!(plan.map.carried().count(), 0);
    assert_eq!(plan.refusals(&Intent::default()), vec![]);
    let warnings = plan.warnings(&Intent::default());
    assert!(
        warnings
            .iter()
            .any(|one| one.contains("/data") && one.contains("ignore"))
    );
}

#[test]
fn a_mount_that_is_to_be_persistent_is_expected_on_the_target() {
    let plan = planned_by(
        "/dev/shm=persistent",
        vec![held(2, 9, 1, "/dev/shm/a")],
        &[],
    );
    assert_eq!(plan.files[0].decision, Decision::Stays);
    assert_eq!(plan.map.carried().count(), 0);
}

#[test]
fn of_a_mount_with_refuse_every_file_is_in_the_way_also_on_the_root() {
    let mut cwd = held(4, 12, 3, "/data");
    cwd.mode = 0o040_755;
    let uses = vec![
        held(1, 9, 1, "/bin/x"),
        held(2, 10, 0, "/dev/shm/a (deleted)"),
        cwd,
    ];
    let plan = planned_by("/=refuse;/dev/shm=refuse;/data=refuse", uses, &[]);
    let decisions: Vec<_> = plan.files.iter().map(|file| &file.decision).collect();
    use Decision::{Forbidden, Stays};
    assert_eq!(decisions, [&Forbidden, &Forbidden, &Stays]);
    assert_eq!(plan.refusals(&Intent::default()).len(), 2);
}

#[test]
fn a_shared_tmpfs_that_is_to_be_carried_goes_whole_unless_others_hold_the_same_files() {
    let uses = || vec![held(2, 9, 1, "/dev/shm/a")];
    let plan = planned_by("/dev/shm=carry", uses(), &[(42, 7)]);
    assert_eq!(plan.map.carried().count(), 1);
    assert_eq!(plan.carried_in_part().count(), 0);
    assert_eq!(plan.refusals(&Intent::default()), vec![]);
    let warnings = plan.warnings(&Intent::default());
    assert!(warnings[0].contains("copied as they are"), "{warnings:?}");
    let plan = planned_by("/dev/shm=carry", uses(), &[(42, 9)]);
    assert_eq!(plan.refusals(&Intent::default()).len(), 1);
}

proptest! {
    /// No policy loses a nameless file, except on mounts that forbid them, and a policy of one
    /// mount changes nothing on another.
    #[test]
    fn policies_lose_nothing(uses in prop::collection::vec(any_use(), 0..30), index in 0usize..6) {
        let words = ["carry", "ghost", "nameless", "persistent", "ignore", "refuse"];
        let made = planned_by(&format!("/dev/shm={}", words[index]), uses.clone(), &[]);
        let plain = planned_by("", uses, &[]);
        prop_assert_eq!(made.files.len(), plain.files.len());
        for (with, without) in made.files.iter().zip(&plain.files) {
            let elsewhere = with.device != device(2);
            let kept = without.decision == Decision::Ghost && with.decision != Decision::Forbidden;
            if elsewhere || kept {
                prop_assert_eq!(with, without);
            }
        }
    }
}

//! Decisions by the policy of a mount.

use super::*;

/// The decision on the carried tmpfs if its policy were another.
fn decision_by(policy: MountPolicy, file: FileUse, by_others: bool) -> Option<Decision> {
    let mut scan = scan_of(vec![file]);
    scan.map.mounts[1].policy = Some(policy);
    if by_others {
        scan.map.share(2, vec![]);
        let inodes = scan.uses.iter().map(|one| (one.inode, 99)).collect();
        scan.held_by_others.insert(2, inodes);
    }
    planned(&scan, gone).files.pop().map(|file| file.decision)
}

#[test]
fn a_policy_makes_ghosts_of_all_that_is_held_also_by_others() {
    for by_others in [false, true] {
        for (policy, expected) in [
            (MountPolicy::Ghost, Decision::GhostRelinked),
            (MountPolicy::Nameless, Decision::GhostNameless),
        ] {
            let by = |links, name| decision_by(policy, held(2, 9, links, name), by_others);
            assert_eq!(by(1, "/dev/shm/a"), Some(expected.clone()));
            assert_eq!(by(1, "/dev/shm/a (deleted)"), Some(expected));
            assert_eq!(by(0, "/dev/shm/a (deleted)"), Some(Decision::Ghost));
            let mut directory = held(2, 1, 2, "/dev/shm");
            directory.mode = 0o040_755;
            assert_eq!(decision_by(policy, directory.clone(), by_others), None);
            directory.name = "/dev/shm/below".into();
            let below = decision_by(policy, directory, by_others);
            assert!(matches!(below, Some(Decision::Unsupported { .. })));
        }
    }
}

#[test]
fn a_ghost_that_has_its_name_again_is_a_ghost_again() {
    let mut scan = scan_of(vec![held(2, 9, 1, "/dev/shm/a (deleted)")]);
    scan.map.mounts[1].policy = Some(MountPolicy::Ghost);
    let plan = planned(&scan, |_| NameState::Stale);
    assert_eq!(plan.files[0].decision, Decision::GhostRelinked);
    assert_eq!(plan.ghosted_bytes(), 4096);
}

#[test]
fn ghosts_with_names_need_a_criu_that_waits() {
    let mut scan = scan_of(vec![held(2, 9, 1, "/dev/shm/a")]);
    let refusals = |scan: &Scan, version: &str| {
        let intent = Intent {
            criu: version.parse().ok(),
            ..Intent::default()
        };
        planned(scan, gone).refusals(&intent).len()
    };
    assert_eq!(refusals(&scan, "3.18"), 0);
    scan.map.mounts[1].policy = Some(MountPolicy::Ghost);
    assert_eq!(refusals(&scan, "3.18"), 1);
    assert_eq!(refusals(&scan, "3.19"), 0);
    assert_eq!(refusals(&scan, "unknown"), 0);
}

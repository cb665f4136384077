//! How much a checkpoint may carry. Pure: what would be carried was measured before.

use crate::contents::MeasuredMount;
use crate::plan::Refusal;
use crate::policy::{CARRY_LIMIT, MOUNTS, MountPolicy, Policy};

/// Whether annotations limit what is carried.
#[must_use]
pub fn is_set(policy: &Policy) -> bool {
    let of_mounts = policy.overrides.iter();
    let mut of_mounts = of_mounts.filter_map(|one| limit(Some(one.policy)));
    policy.carry_limit_bytes.is_some() || of_mounts.next().is_some()
}

/// What is more than the annotations allow, with the bytes that go into the images by policy.
#[must_use]
pub fn refusals(policy: &Policy, measured: &[MeasuredMount], ghosted_bytes: u64) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = measured.iter().filter_map(too_large).collect();
    let sum = measured
        .iter()
        .fold(ghosted_bytes, |sum, one| sum.saturating_add(bytes(one)));
    let limit = policy.carry_limit_bytes.filter(|limit| sum > *limit);
    refusals.extend(limit.map(|limit| {
        let each = measured
            .iter()
            .map(|one| format!("{} bytes at {}", bytes(one), places(one)))
            .chain((ghosted_bytes > 0).then(|| format!("{ghosted_bytes} bytes of ghosts")));
        Refusal {
            what: format!(
                "{sum} bytes of mounts would be carried, and the annotation {CARRY_LIMIT} allows {limit}: {}",
                each.collect::<Vec<_>>().join(", ")
            ),
            remedy: "remove what is not needed there, or raise the limit".into(),
        }
    }));
    refusals
}

/// The contents of one directory, which several mounts may show: the lowest limit counts.
fn too_large(measured: &MeasuredMount) -> Option<Refusal> {
    let limits = measured
        .mounts
        .iter()
        .filter_map(|mount| limit(mount.policy));
    let limit = limits.min()?;
    let bytes = bytes(measured);
    (bytes > limit).then(|| Refusal {
        what: format!(
            "{bytes} bytes would be carried of the mount at {}, and the annotation {MOUNTS} allows {limit}",
            places(measured)
        ),
        remedy: "remove what is not needed there, or raise the limit".into(),
    })
}

fn limit(policy: Option<MountPolicy>) -> Option<u64> {
    match policy {
        Some(MountPolicy::Carry { limit_bytes }) => limit_bytes,
        _ => None,
    }
}

fn bytes(measured: &MeasuredMount) -> u64 {
    measured
        .sizes
        .values()
        .fold(0, |sum, size| sum.saturating_add(*size))
}

fn places(measured: &MeasuredMount) -> String {
    let places = measured.mounts.iter();
    let places = places.map(|mount| mount.destination.display().to_string());
    places.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountmap::{Mount, MountClass};

    fn measured(destination: &str, limit_bytes: Option<u64>, sizes: &[u64]) -> MeasuredMount {
        let mount = Mount {
            policy: limit_bytes.map(|_| MountPolicy::Carry { limit_bytes }),
            ..Mount::tmpfs(1, destination, MountClass::ExternalTmpfsPrivate)
        };
        MeasuredMount {
            mounts: vec![mount],
            partial: false,
            sizes: (1..).zip(sizes.iter().copied()).collect(),
            sockets: vec![],
        }
    }

    #[test]
    fn a_limit_of_the_container_counts_all_mounts_together() {
        let mut policy = Policy::default();
        let both = [measured("/a", None, &[3, 4]), measured("/b", None, &[5])];
        assert!(!is_set(&policy));
        assert_eq!(refusals(&policy, &both, 0), []);
        policy.carry_limit_bytes = Some(12);
        assert!(is_set(&policy));
        assert_eq!(refusals(&policy, &both, 0), []);
        policy.carry_limit_bytes = Some(11);
        let [refusal] = &refusals(&policy, &both, 0)[..] else {
            panic!("not one refusal");
        };
        for part in ["12 bytes", "allows 11", "7 bytes at /a, 5 bytes at /b"] {
            assert!(refusal.what.contains(part), "{refusal}");
        }
        policy.carry_limit_bytes = Some(12);
        let ghosts = &refusals(&policy, &both, 1)[0].what;
        assert!(ghosts.contains("13 bytes") && ghosts.ends_with("1 bytes of ghosts"));
    }

    #[test]
    fn a_limit_of_a_mount_counts_its_own() {
        let policy = Policy::of(&[(MOUNTS.to_owned(), "/a=carry:6".to_owned())].into());
        assert!(is_set(&policy));
        let [refusal] = &refusals(&policy, &[measured("/a", Some(6), &[3, 4])], 0)[..] else {
            panic!("not one refusal");
        };
        assert!(refusal.what.contains("7 bytes") && refusal.what.contains("at /a"));
        assert!(refusal.what.contains("allows 6"), "{refusal}");
        assert_eq!(
            refusals(&policy, &[measured("/a", Some(7), &[3, 4])], 0),
            []
        );
    }

    #[test]
    fn of_two_mounts_of_one_directory_the_lower_limit_counts() {
        let mut one = measured("/a", Some(9), &[8]);
        one.mounts.extend(measured("/b", Some(7), &[]).mounts);
        let refusals = refusals(&Policy::default(), &[one], 0);
        assert!(refusals[0].what.contains("/a and /b"), "{refusals:?}");
    }
}

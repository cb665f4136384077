//! What a policy of the container's annotations forbids, and what of one cannot be done. Pure.

use super::Refusal;
use crate::mountmap::Mount;
use crate::plan::RemapPlan;
use crate::policy::{MOUNTS, MountPolicy};

impl RemapPlan {
    /// Everything that the policies of mounts forbid.
    pub(super) fn policy_refusals(&self) -> impl Iterator<Item = Refusal> {
        self.map.mounts.iter().filter_map(not_yet)
    }
}

/// Images are not rewritten yet: this goes when they are.
fn not_yet(mount: &Mount) -> Option<Refusal> {
    let policy = mount.policy?;
    let rewrites = matches!(policy, MountPolicy::Ghost | MountPolicy::Nameless);
    rewrites.then(|| Refusal {
        what: format!(
            "the annotation {MOUNTS} wants {policy} for the mount at {}, which cannot be done yet",
            mount.destination.display()
        ),
        remedy: "set another policy for it".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::Device;
    use crate::mountmap::{MountClass, MountMap};

    fn plan(policy: Option<MountPolicy>) -> RemapPlan {
        let mount = Mount {
            destination: "/dev/shm".into(),
            id: 1,
            device: Device { major: 0, minor: 9 },
            root: "/".into(),
            fs_type: "tmpfs".into(),
            fs_options: String::new(),
            asked_for: None,
            source: None,
            class: MountClass::ExternalTmpfsPrivate,
            policy,
        };
        RemapPlan {
            version: crate::plan::PLAN_VERSION,
            map: MountMap {
                mounts: vec![mount],
            },
            files: vec![],
            exec_sessions: vec![],
            obstacles: vec![],
            ghost_limit_bytes: 0,
        }
    }

    #[test]
    fn ghosts_by_policy_cannot_be_made_yet() {
        for policy in [MountPolicy::Ghost, MountPolicy::Nameless] {
            let refusals: Vec<Refusal> = plan(Some(policy)).policy_refusals().collect();
            assert!(refusals[0].what.contains("/dev/shm"), "{refusals:?}");
        }
        assert_eq!(plan(None).policy_refusals().count(), 0);
    }
}

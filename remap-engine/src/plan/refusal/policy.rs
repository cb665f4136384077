//! What a policy of the container's annotations forbids, and what of one cannot be done. Pure.

use super::Refusal;
use crate::mountmap::{EphemeralReason, Mount, MountClass};
use crate::plan::RemapPlan;
use crate::policy::{MOUNTS, MountPolicy};

impl RemapPlan {
    /// Everything that the policies of mounts forbid.
    pub(super) fn policy_refusals(&self) -> impl Iterator<Item = Refusal> {
        self.map.mounts.iter().filter_map(no_ghosts_there)
    }
}

/// A policy that wants ghosts where there can be none: CRIU makes a ghost beside the name of its
/// file, on its mount, and mounts of its own it restores whole.
fn no_ghosts_there(mount: &Mount) -> Option<Refusal> {
    let policy = mount.policy?;
    if !matches!(policy, MountPolicy::Ghost | MountPolicy::Nameless) {
        return None;
    }
    let reason = match &mount.class {
        MountClass::Internal => "CRIU or the snapshotter takes along as it is",
        MountClass::ExternalEphemeral { reason } => match reason {
            EphemeralReason::ReadOnly => "is read-only",
            EphemeralReason::KubeletVolume => "the target's kubelet fills",
            EphemeralReason::SingleFile => "is a single file",
            _ => return None,
        },
        _ => return None,
    };
    Some(Refusal {
        what: format!(
            "the annotation {MOUNTS} wants {policy} for the mount at {}, which {reason}",
            mount.destination.display()
        ),
        remedy: "set another policy for it, or none".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::Device;
    use crate::mountmap::MountMap;

    fn plan(policy: Option<MountPolicy>, class: MountClass) -> RemapPlan {
        let mount = Mount {
            destination: "/dev/shm".into(),
            id: 1,
            device: Device { major: 0, minor: 9 },
            root: "/".into(),
            fs_type: "tmpfs".into(),
            fs_options: String::new(),
            asked_for: None,
            source: None,
            class,
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
    fn ghosts_are_refused_only_where_there_can_be_none() {
        let ephemeral = |reason| MountClass::ExternalEphemeral { reason };
        let refused = |policy, class| plan(Some(policy), class).policy_refusals().count() == 1;
        for policy in [MountPolicy::Ghost, MountPolicy::Nameless] {
            assert!(!refused(policy, MountClass::ExternalTmpfsPrivate));
            assert!(!refused(policy, ephemeral(EphemeralReason::NotTmpfs)));
            assert!(refused(policy, ephemeral(EphemeralReason::SingleFile)));
            assert!(refused(policy, ephemeral(EphemeralReason::ReadOnly)));
            assert!(refused(policy, MountClass::Internal));
        }
        assert!(!refused(MountPolicy::Ignore, MountClass::Internal));
    }
}

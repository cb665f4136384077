//! What policies make of the mounts. Pure.

use super::{EphemeralReason, Mount, MountClass, MountMap};
use crate::policy::{MountPolicy, Override};

impl MountMap {
    /// Notes the policies of mounts, and changes the classes as they want it. What a policy cannot
    /// change stays as it is, and the plan says so ([`Mount::why_not`]).
    pub fn apply(&mut self, overrides: &[Override]) {
        for one in overrides {
            for id in self.meant_by(one) {
                let mut mounts = self.mounts.iter_mut();
                if let Some(mount) = mounts.find(|mount| mount.id == id) {
                    mount.policy = Some(one.policy);
                    if let Some(class) = class_by(mount) {
                        mount.class = class;
                    }
                }
            }
        }
    }

    /// The ids of the mounts that a policy means: those with its destination, as mountinfo shows
    /// it or as the bundle has it. Of several that lie one upon the other it means the external
    /// ones, as what CRIU restores by itself can only be refused.
    #[must_use]
    pub fn meant_by(&self, wanted: &Override) -> Vec<u64> {
        let is_meant = |mount: &&Mount| {
            let asked_for = mount.asked_for.as_ref() == Some(&wanted.destination);
            mount.destination == wanted.destination || asked_for
        };
        let meant = || self.mounts.iter().filter(is_meant);
        let only_external =
            wanted.policy != MountPolicy::Refuse && meant().any(|mount| mount.is_external());
        let meant = meant().filter(|mount| !only_external || mount.is_external());
        meant.map(|mount| mount.id).collect()
    }
}

/// The class that its policy gives an external mount; `None` for its own.
fn class_by(mount: &Mount) -> Option<MountClass> {
    let policy = mount.policy.filter(|_| mount.is_external())?;
    match policy {
        MountPolicy::Persistent => Some(MountClass::ExternalPersistent),
        MountPolicy::Ignore => Some(MountClass::ExternalEphemeral {
            reason: EphemeralReason::Ignored,
        }),
        // What else is not carried cannot be.
        MountPolicy::Carry { .. } | MountPolicy::Ghost | MountPolicy::Nameless => None,
        MountPolicy::Refuse => None,
    }
}

impl Mount {
    /// Whether its policy is `wanted`.
    #[must_use]
    pub fn is_to(&self, wanted: MountPolicy) -> bool {
        self.policy == Some(wanted)
    }

    /// Whether its policy is to carry it.
    #[must_use]
    pub fn is_to_be_carried(&self) -> bool {
        matches!(self.policy, Some(MountPolicy::Carry { .. }))
    }

    /// Why its policy cannot be followed, if it cannot.
    #[must_use]
    pub fn why_not(&self) -> Option<&'static str> {
        let policy = self.policy?;
        match (&self.class, policy) {
            (_, MountPolicy::Refuse) => None,
            (MountClass::Internal, _) => Some(
                "it is no bind of the host's, and CRIU or the snapshotter takes care of its contents",
            ),
            (MountClass::ExternalPersistent, MountPolicy::Carry { .. }) => {
                Some("it is a network file system")
            }
            (MountClass::ExternalEphemeral { reason }, MountPolicy::Carry { .. }) => {
                Some(match reason {
                    EphemeralReason::NotTmpfs => "it is no tmpfs",
                    EphemeralReason::ReadOnly => {
                        "it is read-only, so that the target has its own or has none"
                    }
                    EphemeralReason::KubeletVolume => {
                        "the kubelet fills it, and the target's fills its own"
                    }
                    EphemeralReason::SingleFile => {
                        "it is a single file, and only directories are carried"
                    }
                    EphemeralReason::ControlGroups => {
                        "it is there for control groups, and the target has its own"
                    }
                    EphemeralReason::Covered => "another bind lies on it",
                    // Refused anyway, with the remedy.
                    EphemeralReason::OutOfReach => return None,
                    EphemeralReason::UnusedBelowBind | EphemeralReason::Ignored => return None,
                })
            }
            // CRIU makes a ghost beside the name of its file, on its mount.
            (
                MountClass::ExternalEphemeral { reason },
                MountPolicy::Ghost | MountPolicy::Nameless,
            ) => match reason {
                EphemeralReason::ReadOnly => Some("it is read-only"),
                EphemeralReason::KubeletVolume => {
                    Some("the kubelet fills it, and the target's fills its own")
                }
                EphemeralReason::SingleFile => Some("it is a single file"),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARRY: MountPolicy = MountPolicy::Carry { limit_bytes: None };

    fn mount(class: MountClass, policy: MountPolicy) -> Mount {
        let mut map = MountMap {
            mounts: vec![Mount::tmpfs(1, "/m", class)],
        };
        map.apply(&[Override {
            destination: "/m".into(),
            policy,
        }]);
        map.mounts.remove(0)
    }

    fn ephemeral(reason: EphemeralReason) -> MountClass {
        MountClass::ExternalEphemeral { reason }
    }

    #[test]
    fn a_policy_gives_an_external_mount_its_class() {
        for class in [
            MountClass::ExternalTmpfsPrivate,
            MountClass::ExternalPersistent,
            ephemeral(EphemeralReason::NotTmpfs),
            ephemeral(EphemeralReason::KubeletVolume),
        ] {
            let is = |policy| mount(class.clone(), policy).class;
            assert_eq!(is(MountPolicy::Ignore), ephemeral(EphemeralReason::Ignored));
            assert_eq!(is(MountPolicy::Persistent), MountClass::ExternalPersistent);
            for same in [CARRY, MountPolicy::Refuse, MountPolicy::Ghost] {
                assert_eq!(is(same), class);
            }
        }
        let own = mount(MountClass::Internal, MountPolicy::Ignore);
        assert_eq!(own.class, MountClass::Internal);
    }

    #[test]
    fn ghosts_are_refused_only_where_there_can_be_none() {
        for policy in [MountPolicy::Ghost, MountPolicy::Nameless] {
            let is_fine = |class| mount(class, policy).why_not().is_none();
            assert!(is_fine(MountClass::ExternalTmpfsPrivate));
            assert!(is_fine(ephemeral(EphemeralReason::NotTmpfs)));
            assert!(!is_fine(ephemeral(EphemeralReason::SingleFile)));
            assert!(!is_fine(ephemeral(EphemeralReason::ReadOnly)));
            assert!(!is_fine(MountClass::Internal));
        }
    }

    #[test]
    fn what_cannot_be_carried_says_why() {
        let why = |class, policy| mount(class, policy).why_not();
        for reason in [
            EphemeralReason::NotTmpfs,
            EphemeralReason::ReadOnly,
            EphemeralReason::KubeletVolume,
            EphemeralReason::SingleFile,
            EphemeralReason::ControlGroups,
            EphemeralReason::Covered,
        ] {
            assert!(why(ephemeral(reason), CARRY).is_some(), "{reason:?}");
            assert_eq!(why(ephemeral(reason), MountPolicy::Persistent), None);
        }
        assert!(why(MountClass::ExternalPersistent, CARRY).is_some());
        assert_eq!(why(MountClass::ExternalTmpfsPrivate, CARRY), None);
        let unused = ephemeral(EphemeralReason::UnusedBelowBind);
        assert_eq!(why(unused, CARRY), None);
        assert!(why(MountClass::Internal, MountPolicy::Ignore).is_some());
        assert_eq!(why(MountClass::Internal, MountPolicy::Refuse), None);
    }
}

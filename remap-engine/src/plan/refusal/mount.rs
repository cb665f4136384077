//! Mounts that CRIU or the engine would get wrong. Pure.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Refusal, obstacle};
use crate::criu::config::is_one_word;
use crate::intent::Intent;
use crate::mountmap::{EphemeralReason, Mount, MountClass};
use crate::obstacle::Plugins;
use crate::plan::RemapPlan;

impl RemapPlan {
    /// The mounts that forbid a checkpoint, whatever is held on them.
    pub(super) fn mount_refusals(&self, intent: &Intent) -> impl Iterator<Item = Refusal> {
        let ground = &intent.ground;
        let criu_decides = ground.has_external || ground.plugins == Plugins::Others;
        let is_known = !criu_decides && obstacle::known(intent).is_some();
        let mounts = self.map.mounts.iter();
        mounts.filter_map(move |mount| {
            let unknown = || is_known.then(|| self.unknown_to_criu(mount)).flatten();
            refusal(mount).or_else(unknown)
        })
    }

    /// A mount of the container's own that CRIU does not know how to make (`validate_mounts`), and
    /// that is no part of what it has otherwise.
    fn unknown_to_criu(&self, mount: &Mount) -> Option<Refusal> {
        let mounts = || self.map.mounts.iter();
        let shows = |other: &Mount| {
            let is_given = other.is_external() || other.destination == Path::new("/");
            is_given && mount.device == other.device && mount.root.starts_with(&other.root)
        };
        if mount.is_external() || mounts().any(shows) {
            return None;
        }
        let destination = mount.destination.display();
        let kind = &mount.fs_type;
        if MADE_BY_CRIU.contains(&&**kind) {
            return None;
        }
        Some(Refusal {
            what: format!(
                "the mount at {destination}, which the container has made itself, is of a kind ({kind}) that CRIU cannot make anew"
            ),
            remedy: "unmount it before the checkpoint, or mount it on the host and bind it".into(),
        })
    }
}

/// The file systems of which CRIU makes a mount anew (`fstypes`).
const MADE_BY_CRIU: [&str; 18] = [
    "aufs",
    "autofs",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "mqueue",
    "overlay",
    "proc",
    "pstore",
    "securityfs",
    "simfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Whether the directory or file that a mount shows has no name any more, as mountinfo has it
/// (`seq_dentry`). No path has an empty component.
fn is_deleted(root: &Path) -> bool {
    root.as_os_str().as_bytes().ends_with(b"//deleted")
}

fn refusal(mount: &Mount) -> Option<Refusal> {
    let destination = mount.destination.display();
    let source = mount.source.as_deref().unwrap_or(&mount.root).display();
    let out_of_reach = MountClass::ExternalEphemeral {
        reason: EphemeralReason::OutOfReach,
    };
    if mount.class == out_of_reach {
        return Some(Refusal {
            what: format!(
                "the tmpfs at {destination} is covered by another mount, and its source on the host, {source}, shows something else: its contents cannot be read"
            ),
            remedy: format!("unmount what lies on {destination} or above it"),
        });
    }
    if mount.upon_bind {
        return Some(Refusal {
            what: format!(
                "a mount ({}) lies at {destination} upon a bind of the host's: CRIU would take it for that bind, and its contents would be lost",
                mount.fs_type
            ),
            remedy: "unmount it, or mount it elsewhere".into(),
        });
    }
    if mount.is_external() && is_deleted(&mount.root) {
        return Some(Refusal {
            what: format!(
                "what is bound on {destination} is not at {source} any more: the host has removed or replaced it, and a restore would find nothing, or something else"
            ),
            remedy:
                "start the container anew, with a bind of the directory in which it is replaced"
                    .into(),
        });
    }
    let told = |mount: &Mount| is_one_word(&mount.destination) && is_one_word(mount.name());
    if mount.along && !told(mount) {
        return Some(Refusal {
            what: format!(
                "the mount at {destination} came along with a bind of the host's, and CRIU cannot be told of a path with blanks, quotes, # or \\"
            ),
            remedy: "mount it under another name, or bind it by a mount of its own".into(),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::version::CriuVersion;
    use crate::mountinfo::Device;
    use crate::mountmap::MountMap;

    fn mount(destination: &str) -> Mount {
        Mount {
            destination: destination.into(),
            id: 1,
            device: Device { major: 0, minor: 9 },
            root: "/".into(),
            fs_type: "tmpfs".into(),
            fs_options: String::new(),
            asked_for: Some(destination.into()),
            source: Some("/srv/x".into()),
            policy: None,
            class: MountClass::ExternalTmpfsPrivate,
            along: false,
            upon_bind: false,
        }
    }

    #[test]
    fn a_mount_of_its_own_is_refused_if_criu_cannot_make_it() {
        let own = |destination: &str, device: u32, root: &str, kind: &str| Mount {
            device: Device {
                major: 0,
                minor: device,
            },
            root: root.into(),
            fs_type: kind.into(),
            class: MountClass::Internal,
            ..mount(destination)
        };
        let mut disk = own("/disk", 3, "/srv", "ext4");
        disk.class = MountClass::ExternalEphemeral {
            reason: EphemeralReason::NotTmpfs,
        };
        let mounts = vec![
            own("/", 1, "/", "overlay"),
            own("/own", 2, "/", "tmpfs"),
            own("/part", 2, "/part", "tmpfs"),
            disk,
            own("/disk2", 3, "/srv/x", "ext4"),
            own("/elsewhere", 3, "/etc", "ext4"),
            own("/etc2", 1, "/etc", "overlay"),
            own("/ram", 4, "/", "ramfs"),
            own("/netns", 5, "net:[1]", "nsfs"),
            own("/fuse", 6, "/", "fuse.x"),
        ];
        let plan = RemapPlan {
            version: crate::plan::PLAN_VERSION,
            map: MountMap { mounts },
            files: vec![],
            exec_sessions: vec![],
            obstacles: vec![],
            ghost_limit_bytes: 0,
        };
        let mut intent = Intent {
            criu: Some(CriuVersion::new(4, 2)),
            ..Intent::default()
        };
        let refusals: Vec<Refusal> = plan.mount_refusals(&intent).collect();
        let named = |at: &str| refusals.iter().any(|one| one.what.contains(at));
        for at in ["/elsewhere", "/ram", "/netns", "/fuse"] {
            assert!(named(&format!("at {at},")), "{at}: {refusals:?}");
        }
        assert_eq!(refusals.len(), 4, "{refusals:?}");
        intent.ground.has_external = true;
        assert_eq!(plan.mount_refusals(&intent).count(), 0);
        intent.ground.has_external = false;
        intent.criu = Some(CriuVersion::new(9, 0));
        assert_eq!(plan.mount_refusals(&intent).count(), 0);
    }

    #[test]
    fn a_mount_is_refused_only_if_it_would_come_back_wrong() {
        assert_eq!(refusal(&mount("/a b")), None);
        let mut along = mount("/a");
        along.along = true;
        assert_eq!(refusal(&along), None);
        along.asked_for = Some("/b c".into());
        let text = refusal(&along).unwrap().to_string();
        assert!(text.contains("at /a came along"), "{text}");
        let mut upon = mount("/dev/shm");
        (upon.class, upon.upon_bind) = (MountClass::Internal, true);
        let text = refusal(&upon).unwrap().to_string();
        assert!(text.contains("at /dev/shm upon a bind"), "{text}");
        let mut gone = mount("/conf");
        gone.root = "/conf//deleted".into();
        let text = refusal(&gone).unwrap().to_string();
        assert!(text.contains("on /conf is not at /srv/x"), "{text}");
        gone.class = MountClass::Internal;
        assert_eq!(refusal(&gone), None);
        let mut covered = mount("/a/b");
        covered.class = MountClass::ExternalEphemeral {
            reason: EphemeralReason::OutOfReach,
        };
        let text = refusal(&covered).unwrap().to_string();
        assert!(
            text.contains("/srv/x") && text.contains("unmount"),
            "{text}"
        );
    }
}

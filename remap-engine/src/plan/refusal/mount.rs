//! Mounts that CRIU or the engine would get wrong. Pure.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Refusal;
use crate::criu::config::is_one_word;
use crate::mountmap::{EphemeralReason, Mount, MountClass};
use crate::plan::RemapPlan;

impl RemapPlan {
    /// The mounts that forbid a checkpoint, whatever is held on them.
    pub(super) fn mount_refusals(&self) -> impl Iterator<Item = Refusal> {
        self.map.mounts.iter().filter_map(refusal)
    }
}

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
    use crate::mountinfo::Device;

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

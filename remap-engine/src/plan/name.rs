//! Names for which CRIU has no way, whatever the mount. Pure.
//!
//! CRIU looks for a file that has names at its path as the kernel shows it, with ` (deleted)`. If
//! there is nothing it makes a name for it, which only works on file systems that allow that; if
//! there is another file, or it cannot look, it gives up (`check_path_remap`).

use super::Decision;
use crate::mountmap::{Mount, MountClass};
use crate::scan::NameState;

/// Why a file with a name of this state is refused; `None` if the mount decides.
pub(super) fn refused(mount: &Mount, state: Option<NameState>) -> Option<Decision> {
    let destination = mount.destination.display();
    let kind = &mount.fs_type;
    let close = "have it closed before the checkpoint";
    let (reason, remedy) = match state? {
        NameState::Gone | NameState::Taken if is_of_kernel(mount) => (
            format!(
                "what it belongs to has been removed from {destination} ({kind}), and perhaps made anew since"
            ),
            close.into(),
        ),
        NameState::Taken => (
            format!(
                "its name is gone, and at the name with which the kernel shows it, which ends in \" (deleted)\", there is another file, on {destination} ({kind})"
            ),
            format!("rename that other file, or {close}"),
        ),
        NameState::NoWay => (
            format!(
                "its name is gone, and CRIU cannot look whether it is: the name is too long, or leads through what is no directory, on {destination} ({kind})"
            ),
            close.into(),
        ),
        NameState::NoAnswer => (
            format!(
                "its name looks deleted, and the file system that could tell whether it is does not answer, on {destination} ({kind})"
            ),
            format!(
                "look after the server of that file system, which may be frozen with the container, or {close}"
            ),
        ),
        NameState::Outside => (
            format!(
                "it was moved out of the directory that is bound on {destination} ({kind}), and has no path in the container any more"
            ),
            format!("move it back on the host, or {close}"),
        ),
        NameState::Stale if !has_links(mount) => (
            format!(
                "its name looks deleted and is not: the kernel's entry for it on {destination} ({kind}) is stale, and CRIU would try to make a name for it"
            ),
            "try again, or have it opened anew".into(),
        ),
        _ => return None,
    };
    Some(Decision::Unsupported { reason, remedy })
}

/// Whether a name that CRIU makes stays with the file: it is carried, or CRIU dumps the tmpfs.
fn has_links(mount: &Mount) -> bool {
    match mount.class {
        MountClass::Internal => mount.fs_type == "tmpfs",
        MountClass::ExternalTmpfsPrivate | MountClass::ExternalTmpfsShared { .. } => true,
        _ => false,
    }
}

fn is_of_kernel(mount: &Mount) -> bool {
    matches!(&*mount.fs_type, "cgroup" | "cgroup2" | "sysfs")
}

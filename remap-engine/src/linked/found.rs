//! Which names the images ask for, while CRIU is held and they are there.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};

use super::LinkedFile;
use crate::criu::files::{DumpedFile, Remap};
use crate::mountmap::{Mount, MountClass};
use crate::plan::{Decision, RemapPlan};
use crate::process::{Process, ProcessError, device_of};

/// It cannot be told which names a restore has to make.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The directory of a name of CRIU's.
    #[error("the directory of CRIU's name {name:?} cannot be opened")]
    Directory {
        /// The name, in the container.
        name: PathBuf,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// CRIU's name is not there.
    #[error("CRIU's name {name:?} cannot be found")]
    Name {
        /// The name, in the container.
        name: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Whether names of files that are to be relinked have to be found.
pub(crate) fn are_wanted(plan: &RemapPlan) -> bool {
    let mut decisions = plan.files.iter().map(|file| &file.decision);
    decisions.any(|decision| matches!(decision, Decision::Relinked { .. }))
}

/// Finds the names that CRIU has made in a dump that it has not ended yet, of files that are to be
/// relinked. `root` is the container's init, and `files` are those in the images. Names of other files
/// are left out, which [`crate::reconcile`] notices.
///
/// # Errors
/// See [`FindError`]. Nothing is changed.
pub fn find(
    root: &Process,
    plan: &RemapPlan,
    files: &[DumpedFile],
) -> Result<Vec<LinkedFile>, FindError> {
    let mut found = Vec::new();
    if !are_wanted(plan) {
        return Ok(found);
    }
    for file in files {
        let (Some(Remap::Linked(link)), Some(id)) = (&file.remap, file.mount_id) else {
            continue;
        };
        if let Some(mount) = plan.map.by_id(id).filter(|mount| !brings_names(mount)) {
            found.extend(linked(root, plan, mount, &Path::new("/").join(link))?);
        }
    }
    Ok(found)
}

/// Whether the names on a mount are in the checkpoint.
fn brings_names(mount: &Mount) -> bool {
    let is_own = mount.class == MountClass::Internal && mount.fs_type == "tmpfs";
    let is_shared = matches!(mount.class, MountClass::ExternalTmpfsShared { .. });
    is_own || is_shared || mount.is_carried()
}

/// The record for the name `link` of CRIU's, if a survivor is known of its inode.
fn linked(
    root: &Process,
    plan: &RemapPlan,
    mount: &Mount,
    link: &Path,
) -> Result<Option<LinkedFile>, FindError> {
    let (Some(dir), Some(name)) = (link.parent(), link.file_name()) else {
        return Ok(None);
    };
    let dir = root.open_dir(dir).map_err(|source| FindError::Directory {
        name: link.to_owned(),
        source,
    })?;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(&dir, name, flags, StatxFlags::BASIC_STATS);
    let stat = stat.map_err(|errno| FindError::Name {
        name: link.to_owned(),
        source: errno.into(),
    })?;
    let of_inode = plan
        .files
        .iter()
        .find(|file| (file.device, file.inode) == (device_of(&stat), stat.stx_ino));
    let Some(Decision::Relinked { survivor }) = of_inode.map(|file| &file.decision) else {
        return Ok(None);
    };
    let below = |path: &Path| {
        path.strip_prefix(&mount.destination)
            .ok()
            .map(Path::to_owned)
    };
    let names = below(survivor).zip(below(link));
    Ok(names.map(|(survivor, link)| LinkedFile {
        destination: mount
            .asked_for
            .clone()
            .unwrap_or_else(|| mount.destination.clone()),
        survivor,
        link,
        size_bytes: stat.stx_size,
        mode: u32::from(stat.stx_mode),
    }))
}

//! Other names for deleted files whose own names are taken.
//!
//! To open a deleted file, a restore links it under its old name for a moment. If another file has
//! that name, CRIU links it as `NAME.cr_link` instead, and for so long keeps that name in memory that
//! all restored tasks share, but as a pointer to memory of the one task (`open_path`, `tmp_path`). It
//! puts the pointer back only after it has let the next task in: two tasks that map such a file then
//! get in each other's way now and then, and the restore fails (seen with CRIU 4.1). So in the images
//! such a file gets the name that CRIU would have given it, and no detour is needed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::criu::files::{DumpedFile, Remap};
use crate::criu::ghost;
use crate::criu::image::ImageError;
use crate::criu::rename::rename;
use crate::ghosts::GhostFile;
use crate::mountinfo::Device;
use crate::mountmap::{MountClass, MountMap};
use crate::plan::RemapPlan;
use crate::policy::MountPolicy;
use crate::process::{Process, UseKind};

/// What CRIU appends to a name that is taken (`open_path`).
const SUFFIX: &str = ".cr_link";

/// The longest name of a file, in bytes (`NAME_MAX`, limits.h).
const NAME_MAX_BYTES: usize = 255;

/// Whether several tasks have mapped one file.
pub(crate) fn are_wanted(plan: &RemapPlan) -> bool {
    !mapped_by_several(plan).is_empty()
}

/// Gives other names, in the images in `dir` with these `files`, to the deleted files that several
/// tasks map and whose names are taken, or may be on the target. CRIU is held, and `root` is the
/// container's init. Ghosts among `ghosts` are then made beside the new name. Nothing is synced.
///
/// # Errors
/// An image is damaged or cannot be written; it is as it was.
pub(crate) fn give(
    root: &Process,
    plan: &RemapPlan,
    dir: &Path,
    files: &[DumpedFile],
    ghosts: &mut [GhostFile],
) -> Result<(), ImageError> {
    let crowded = mapped_by_several(plan);
    if crowded.is_empty() {
        return Ok(());
    }
    let identity = |path: &Path| root.identity(&Path::new("/").join(path));
    let mut names = BTreeMap::new();
    for file in files {
        let Some(inode) = inode_of(dir, file, identity)? else {
            continue;
        };
        let taken = identity(&file.path).is_some_and(|other| other != inode);
        if crowded.contains(&inode) && (taken || may_be_taken(&plan.map, file)) {
            let name = other_name(&file.path, |path| identity(path).is_some());
            names.insert(file.id, name);
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    rename(dir, &names)?;
    for file in files {
        let (Some(name), Some(Remap::Ghost(id))) = (names.get(&file.id), &file.remap) else {
            continue;
        };
        for ghost in ghosts.iter_mut().filter(|ghost| ghost.id == *id) {
            if file.path.ends_with(&ghost.beside)
                && let Some(name) = name.file_name()
            {
                ghost.beside.set_file_name(name);
            }
        }
    }
    Ok(())
}

/// The inodes that more than one task has mapped.
fn mapped_by_several(plan: &RemapPlan) -> HashSet<(Device, u64)> {
    let several = plan.files.iter().filter(|file| {
        let mappings = file.holders.iter();
        let mappings = mappings.filter(|holder| matches!(holder.by, UseKind::Mapping(..)));
        mappings
            .map(|holder| holder.pid)
            .collect::<HashSet<_>>()
            .len()
            > 1
    });
    several.map(|file| (file.device, file.inode)).collect()
}

/// The inode that a restore links under the file's name; `None` if it links none.
fn inode_of(
    dir: &Path,
    file: &DumpedFile,
    identity: impl Fn(&Path) -> Option<(Device, u64)>,
) -> Result<Option<(Device, u64)>, ImageError> {
    let is_directory = |mode| FileType::from_raw_mode(mode) == FileType::Directory;
    if file.mode.is_some_and(is_directory) {
        return Ok(None);
    }
    match &file.remap {
        Some(Remap::Ghost(id)) => ghost::inode_of(dir, *id),
        Some(Remap::Linked(path)) => Ok(identity(path)),
        Some(Remap::Procfs) | None => Ok(None),
    }
}

/// Whether others, whose files are not known here, may have the name on the target.
fn may_be_taken(map: &MountMap, file: &DumpedFile) -> bool {
    let mount = file.mount_id.and_then(|id| map.by_id(id));
    mount.is_some_and(|mount| {
        mount.is_to(MountPolicy::Nameless)
            || matches!(mount.class, MountClass::ExternalTmpfsShared { .. })
    })
}

/// A name in the same directory that is free.
fn other_name(path: &Path, is_taken: impl Fn(&Path) -> bool) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let mut other = path.with_file_name(with_suffix(name, SUFFIX));
    for number in 2.. {
        if !is_taken(&other) {
            break;
        }
        other.set_file_name(with_suffix(name, &format!("{SUFFIX}{number}")));
    }
    other
}

fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut bytes = name.as_bytes().to_vec();
    bytes.truncate(NAME_MAX_BYTES.saturating_sub(suffix.len()));
    bytes.extend(suffix.as_bytes());
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_free_and_not_too_long_is_found() {
        let name = |path: &str, taken: &[&str]| {
            let name = other_name(Path::new(path), |path| {
                taken.iter().any(|one| path == Path::new(one))
            });
            name.into_os_string().into_string().unwrap()
        };
        assert_eq!(name("dev/shm/a", &[]), "dev/shm/a.cr_link");
        let taken = ["dev/shm/a.cr_link", "dev/shm/a.cr_link2"];
        assert_eq!(name("dev/shm/a", &taken), "dev/shm/a.cr_link3");
        let long = name(&"x".repeat(255), &[]);
        assert!(long.len() == 255 && long.ends_with("x.cr_link"));
    }
}

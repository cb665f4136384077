//! Which files of a dump are which inodes. Pure.
//!
//! CRIU numbers what it dumps, and no image says which inode a number is. Two sources do, and both
//! have to agree:
//!
//! - the path by which a restore would reach the file leads to its inode while CRIU is held: CRIU
//!   itself has looked there (`check_path_remap`) or has made that name (`create_link_remap`), and a
//!   ghost image names its inode. So two inodes that had one name after the other are told apart:
//!   at most one of them has it now, and the other is reached by a name of CRIU's own;
//! - its name is, as the kernel shows it, one by which the scan has found that inode held. So a name
//!   that somebody outside has moved to another inode meanwhile is noticed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::criu::files::{DumpedFile, Remap};
use crate::mountinfo::Device;
use crate::plan::{FilePlan, Holder};
use crate::process::{UseKind, strip_deleted};

/// A file of the dump, with the inode to which its path led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) file: DumpedFile,
    pub(super) inode: Option<(Device, u64)>,
}

/// What the images hold cannot be brought together with what was seen of the container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unattributed {
    /// A file of the dump leads nowhere, or to an inode that the container was not seen to hold by
    /// this name.
    #[error(
        "file {id} of the dump, {path:?}, is {found}; if others change names there, stop them or try again"
    )]
    File {
        /// CRIU's id of the file.
        id: u32,
        /// Its path in the images.
        path: PathBuf,
        /// What was found in its place.
        found: String,
    },
    /// A process holds an inode by a name that the dump does not have.
    #[error("the dump has no file for inode {inode}, which pid {pid} holds by {by} on {name:?}")]
    Holder {
        /// The inode.
        inode: u64,
        /// The process.
        pid: i32,
        /// How it holds it.
        by: UseKind,
        /// The name that the kernel shows.
        name: PathBuf,
    },
}

/// Finds the inode of each file of the dump that lies on one of the mounts with the ids `mounts`:
/// the file's id, and the index in `wanted`.
///
/// # Errors
/// All that cannot be attributed.
pub(super) fn attribute(
    files: &[Seen],
    wanted: &[FilePlan],
    mounts: &HashSet<u64>,
) -> Result<BTreeMap<u32, usize>, Vec<Unattributed>> {
    let mut found = BTreeMap::new();
    let mut wrong = Vec::new();
    let on_it = |seen: &&Seen| seen.file.mount_id.is_some_and(|id| mounts.contains(&id));
    let mut known: Vec<(usize, &DumpedFile)> = Vec::new();
    for seen in files.iter().filter(on_it) {
        let file = &seen.file;
        match inode_of(seen, wanted) {
            Ok(Some(index)) => {
                found.insert(file.id, index);
                known.push((index, file));
            }
            Ok(None) => {}
            Err(what) => wrong.push(Unattributed::File {
                id: file.id,
                path: file.path.clone(),
                found: what,
            }),
        }
    }
    for (index, plan) in wanted.iter().enumerate() {
        let own = || known.iter().filter(|(other, _)| *other == index);
        let missing = plan.holders.iter().find(|holder| {
            // A description has a file of its own; all else shares one (`fd_id_generate_special`).
            let mut own = own();
            match holder.by {
                UseKind::Fd(_) => !own.any(|(_, file)| is_name_of(file, holder)),
                _ => own.next().is_none(),
            }
        });
        wrong.extend(missing.map(|holder| Unattributed::Holder {
            inode: plan.inode,
            pid: holder.pid,
            by: holder.by.clone(),
            name: holder.name.clone().into(),
        }));
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(wrong)
    }
}

/// The index in `wanted` of what a file is; `None` if it is left as it is.
fn inode_of(seen: &Seen, wanted: &[FilePlan]) -> Result<Option<usize>, String> {
    let Seen { file, inode } = seen;
    let is_directory = file
        .mode
        .is_some_and(|mode| FileType::from_raw_mode(mode) == FileType::Directory);
    if is_directory {
        return Ok(None);
    }
    let (device, number) = inode.ok_or("not there any more")?;
    let is_it = |plan: &FilePlan| (plan.device, plan.inode) == (device, number);
    match wanted.iter().position(is_it) {
        Some(index) => {
            let mut holders = wanted
                .get(index)
                .map_or(&[][..], |plan| &plan.holders)
                .iter();
            if holders.any(|holder| is_name_of(file, holder)) {
                Ok(Some(index))
            } else {
                Err(format!("inode {number}, which is held by other names"))
            }
        }
        None if matches!(file.remap, Some(Remap::Ghost(_))) => Ok(None),
        None => Err(format!("inode {number}, which nobody was seen to hold")),
    }
}

/// Whether a file has the name that a holder was seen with. CRIU strips the mark of a name that is
/// gone when it remaps the file (`link_strip_deleted`), and only then.
fn is_name_of(file: &DumpedFile, holder: &Holder) -> bool {
    let is_it = |name: &OsStr| Path::new(name).strip_prefix("/") == Ok(&file.path);
    let stripped = file.remap.is_some().then(|| strip_deleted(&holder.name));
    is_it(&holder.name) || stripped.flatten().is_some_and(is_it)
}

#[cfg(test)]
mod tests;

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

use std::collections::{BTreeMap, HashMap, HashSet};
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
    let keys = wanted.iter().map(|plan| (plan.device, plan.inode));
    let indices: HashMap<(Device, u64), usize> = keys.zip(0..).collect();
    let mut found = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut own: Vec<Vec<&DumpedFile>> = vec![Vec::new(); wanted.len()];
    let on_it = |seen: &&Seen| seen.file.mount_id.is_some_and(|id| mounts.contains(&id));
    for seen in files.iter().filter(on_it) {
        let file = &seen.file;
        let index = seen.inode.and_then(|inode| indices.get(&inode).copied());
        let plan = index.and_then(|index| wanted.get(index));
        match (is_one_of(seen, plan), index) {
            (Ok(true), Some(index)) => {
                found.insert(file.id, index);
                own.get_mut(index)
                    .into_iter()
                    .for_each(|own| own.push(file));
            }
            (Ok(_), _) => {}
            (Err(what), _) => wrong.push(Unattributed::File {
                id: file.id,
                path: file.path.clone(),
                found: what,
            }),
        }
    }
    for (plan, own) in wanted.iter().zip(&own) {
        let missing = plan.holders.iter().find(|holder| match holder.by {
            // A description has a file of its own; all else shares one (`fd_id_generate_special`).
            UseKind::Fd(_) => !own.iter().any(|file| is_name_of(file, holder)),
            _ => own.is_empty(),
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

/// Whether a file is to become a ghost: whether it is the inode of `plan`, that to which its path
/// leads. False if it is left as it is.
fn is_one_of(seen: &Seen, plan: Option<&FilePlan>) -> Result<bool, String> {
    let Seen { file, inode } = seen;
    let is_directory = file
        .mode
        .is_some_and(|mode| FileType::from_raw_mode(mode) == FileType::Directory);
    if is_directory {
        return Ok(false);
    }
    let (_, number) = inode.ok_or("not there any more")?;
    match plan {
        Some(plan) if plan.holders.iter().any(|one| is_name_of(file, one)) => Ok(true),
        Some(_) => Err(format!("inode {number}, which is held by other names")),
        None if matches!(file.remap, Some(Remap::Ghost(_))) => Ok(false),
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

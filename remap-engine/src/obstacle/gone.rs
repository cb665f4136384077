//! Deleted directories that are in use, where CRIU's own restore of them would fail or do harm.
//!
//! CRIU makes a deleted directory under its old name (`open_remap_ghost`, `create_ghost`) and removes
//! it when all is open (`clean_one_remap`). If the name is taken by then it takes, and removes,
//! what has it; and a directory in which it has made another deleted file cannot be removed before
//! that, of which the order of the descriptors decides.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Found, Held, Holding, Kind};
use crate::mountinfo::Device;
use crate::process::{FileUse, Process, strip_deleted};

/// A file without names that is in use.
struct Gone<'t> {
    process: &'t Process,
    held: &'t FileUse,
    /// The name that it had.
    name: &'t Path,
}

pub(super) fn find(held: &Held, found: &mut Found) {
    let Some(Holding { process: root, .. }) = held.all.first() else {
        return;
    };
    let gone: BTreeMap<(Device, u64), Gone> = held
        .uses()
        .filter(|(_, one)| one.links == 0 && one.device != held.memfd_device)
        .filter_map(|(process, held)| {
            let name = Path::new(strip_deleted(&held.name)?);
            let inode = (held.device, held.inode);
            let gone = Gone {
                process,
                held,
                name,
            };
            name.is_absolute().then_some((inode, gone))
        })
        .collect();
    for (inode, dir) in gone.iter().filter(|(_, one)| one.held.is_directory()) {
        let Gone {
            process,
            held,
            name,
        } = dir;
        if root.identity(name).is_some() {
            found.held(Kind::RemadeDirectory, process, held);
        }
        let others = gone.iter().filter(|(other, _)| *other != inode);
        let clashes = others.filter(|(_, other)| clashes(dir, other)).count();
        if clashes > 0 {
            found.held(Kind::NestedGone, process, held);
        }
    }
}

/// Whether `other` had its name in `dir`, or is a directory that had the same name.
fn clashes(dir: &Gone, other: &Gone) -> bool {
    let same_place = dir.held.mount_id == other.held.mount_id;
    let is_below = other.name != dir.name && other.name.starts_with(dir.name);
    same_place && (is_below || other.name == dir.name && other.held.is_directory())
}

//! How much would be carried.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::contents::Split;
use crate::mountmap::Mount;
use crate::plan::{MountPoint, RemapPlan};
use crate::process::Process;
use crate::scan::{self, ScanError};

/// The contents of one directory of a tmpfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedContents {
    /// The mounts that show it.
    pub mounts: Vec<MountPoint>,
    /// Only what the container holds of it is carried: others use it as well.
    pub partial: bool,
    /// Bytes that its files have allocated.
    pub allocated_bytes: u64,
    /// Its inodes, the directory included.
    pub inodes: u64,
}

/// Measures the contents of the carried mounts, as the container whose init is `root` sees them; and
/// finds an inode that would be carried twice.
pub(super) fn measure(
    root: &Process,
    plan: &RemapPlan,
) -> Result<(Vec<CarriedContents>, Option<Split>), ScanError> {
    let mut measured: Vec<(&Mount, CarriedContents, HashMap<u64, u64>)> = Vec::new();
    let whole = plan.map.carried().map(|mount| (mount, None));
    let parts = plan.carried_in_part();
    let parts = parts.map(|(mount, inodes)| (mount, Some(inodes)));
    for (mount, only) in whole.chain(parts) {
        let point = MountPoint(mount.destination.clone());
        let same = |(first, ..): &&mut (&Mount, _, _)| first.shows_same_as(mount);
        if let Some((_, known, _)) = measured.iter_mut().find(same) {
            known.mounts.push(point);
            continue;
        }
        let mut sizes = sizes_of(root, mount)?;
        if let Some(only) = &only {
            sizes.retain(|inode, _| only.contains(inode));
        }
        let contents = CarriedContents {
            mounts: vec![point],
            partial: only.is_some(),
            allocated_bytes: sizes
                .values()
                .fold(0, |sum, size| sum.saturating_add(*size)),
            inodes: u64::try_from(sizes.len()).unwrap_or(u64::MAX),
        };
        measured.push((mount, contents, sizes));
    }
    let parts = measured.iter().map(|(mount, _, sizes)| {
        let inodes = sizes.keys().copied();
        (mount.device, mount.destination.as_path(), inodes)
    });
    let split = Split::find(parts);
    let carried = measured.into_iter().map(|(_, contents, _)| contents);
    Ok((carried.collect(), split))
}

fn sizes_of(root: &Process, mount: &Mount) -> Result<HashMap<u64, u64>, ScanError> {
    let dir = scan::open_mount(root, mount)?;
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    scan::sizes_below(Path::new(&path)).map_err(|source| ScanError::Walk {
        destination: mount.destination.clone(),
        source,
    })
}

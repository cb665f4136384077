//! How much would be carried.

use serde::{Deserialize, Serialize};

use crate::contents::MeasuredMount;
use crate::plan::MountPoint;

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

impl From<MeasuredMount> for CarriedContents {
    fn from(measured: MeasuredMount) -> Self {
        let MeasuredMount {
            mounts,
            partial,
            sizes,
            sockets: _,
        } = measured;
        let points = mounts
            .into_iter()
            .map(|mount| MountPoint(mount.destination));
        Self {
            mounts: points.collect(),
            partial,
            allocated_bytes: sizes
                .values()
                .fold(0, |sum, size| sum.saturating_add(*size)),
            inodes: u64::try_from(sizes.len()).unwrap_or(u64::MAX),
        }
    }
}

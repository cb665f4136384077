//! Files whose opened name is gone while another lives, where the file system does not travel with
//! the checkpoint: the root, and mounts that are not carried.
//!
//! CRIU links such a file as `link_remap.N` while it dumps, and its images ask for that name; it
//! vanishes when the container goes on (`delete_link_remaps`), and no copy of the root has it. So the
//! checkpoint notes from which name that lives it can be made again, and a restore makes it before
//! CRIU looks for it. CRIU itself removes it when it has restored the file (`try_clean_remaps`).

mod fit;
mod found;
mod made;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::fit::{LinkedError, Links};
pub(crate) use self::found::are_wanted;
pub use self::found::{FindError, find};
pub use self::made::{Made, recover};

/// A name that the images ask for, and from which one it can be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedFile {
    /// The mount that has both, by its mount point in the container; `/` is the root.
    #[serde(with = "crate::text")]
    pub destination: PathBuf,
    /// The name that lives, below the mount point.
    #[serde(with = "crate::text")]
    pub survivor: PathBuf,
    /// The name that CRIU asks for, below the mount point.
    #[serde(with = "crate::text")]
    pub link: PathBuf,
    /// Length in bytes.
    pub size_bytes: u64,
    /// `st_mode`, with the file type.
    pub mode: u32,
}

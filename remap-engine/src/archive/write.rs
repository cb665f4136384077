//! Writes an archive.

mod directory;
mod part;

use std::path::{Path, PathBuf};

use super::Progress;
use super::error::ArchiveError;
use super::layout::{Compression, Layout};
use super::source::{Descriptor, Source};
use part::Parts;

/// An archive that is complete and on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// Its length; of a directory, the sum of its files'.
    pub bytes: u64,
    /// What its index names, if it is an OCI image layout.
    pub target: Option<Descriptor>,
}

/// Writes the archive to `destination`, which must not exist.
///
/// It is there only when it is complete and on the disk; a process that is killed leaves at most a
/// directory `.NAME.partial` beside it, which the next one removes.
///
/// # Errors
/// There is nothing at `destination` then, and nothing beside it; the source is as it was.
pub fn write(
    source: &Source<'_>,
    layout: Layout,
    compression: Compression,
    destination: &Path,
    progress: &mut Progress<'_>,
) -> Result<Written, ArchiveError> {
    if destination.symlink_metadata().is_ok() {
        return Err(ArchiveError::Exists(destination.to_owned()));
    }
    let parts = Parts::of(source)?;
    match layout {
        Layout::Directory if compression == Compression::None => {
            directory::write(&parts, destination, progress)
        }
        other => Err(ArchiveError::NoCompression(other)),
    }
}

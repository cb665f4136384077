//! What a directory takes on the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The size of a block that stat(2) counts in.
const BLOCK: u64 = 512;

/// The bytes of a file, or of all in a directory. What cannot be read counts nothing.
pub(super) fn of(path: &Path) -> u64 {
    let Ok(file) = fs::symlink_metadata(path) else {
        return 0;
    };
    let mut bytes = file.blocks().saturating_mul(BLOCK);
    if file.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        bytes = entries.fold(bytes, |sum, entry| sum.saturating_add(of(&entry.path())));
    }
    bytes
}

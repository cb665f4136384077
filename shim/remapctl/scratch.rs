//! A directory for what is only needed for a while.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Makes a directory that only root can enter, beside `path`; it goes when it is dropped.
///
/// # Errors
/// There is no such directory, or no right to write there.
pub(crate) fn beside(path: &Path, what: &str) -> Result<TempDir> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}.{what}-"))
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a directory in {}", parent.display()))
}

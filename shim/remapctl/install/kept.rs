//! The copy of the shim that stays for the containers that it runs when it is uninstalled: containerd
//! runs it if one of their shims dies (its `delete`), and forgets them if it is not there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::file;
use crate::host::{STATE, lookup};

/// Where it is.
pub(crate) fn path() -> PathBuf {
    Path::new(STATE).join("kept").join(lookup::OWN)
}

/// Makes it of `shim`, and returns where it is.
///
/// # Errors
/// It cannot be made.
pub(super) fn make(shim: &Path) -> Result<PathBuf> {
    let path = path();
    let context = || format!("cannot keep {} as {}", shim.display(), path.display());
    let dir = path.parent().unwrap_or(Path::new(STATE));
    fs::create_dir_all(dir).with_context(context)?;
    fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).with_context(context)?;
    file::copy(shim, &path, 0o755).with_context(context)?;
    Ok(path)
}

//! The bundles of tasks, and which shim containerd would run for each.
//!
//! containerd notes that in a file of the bundle when it starts the shim (`shim-binary-path`, in its
//! `runtime/v2/binary.go`), and reads it when it starts itself: if that path leads nowhere then, it
//! forgets the task and removes the bundle, though the container runs (`loadShims`).

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory of tasks in containerd's state directory.
pub(crate) const TASKS: &str = "io.containerd.runtime.v2.task";

/// The file with the shim's path.
const SHIM: &str = "shim-binary-path";

/// Each task's bundle below `state`.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn all(state: &Path) -> Result<Vec<PathBuf>> {
    let mut bundles = Vec::new();
    for namespace in directories(&state.join(TASKS))? {
        bundles.extend(directories(&namespace)?);
    }
    Ok(bundles)
}

fn directories(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.with_context(context)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(context)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The shim that is noted in a bundle, if one is.
pub(crate) fn shim_of(bundle: &Path) -> Option<PathBuf> {
    let text = fs::read(bundle.join(SHIM)).ok()?;
    Some(std::ffi::OsString::from_vec(text).into())
}

/// Notes another shim in a bundle.
///
/// # Errors
/// It cannot be written; what was noted stays.
pub(crate) fn set_shim(bundle: &Path, shim: &Path) -> Result<()> {
    let file = bundle.join(SHIM);
    crate::install::file::replace(&file, shim.as_os_str().as_encoded_bytes(), 0o600)
        .with_context(|| format!("cannot write {}", file.display()))
}

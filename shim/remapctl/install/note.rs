//! What was changed on this host, to be taken back.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::args::Way;
use super::change::Change;
use super::file;
use crate::host::STATE;

/// The form of the file.
const VERSION: u32 = 1;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// How containerd comes to the shim.
    pub(super) way: Way,
    /// The shim's file.
    pub(super) shim: PathBuf,
    /// Each change, and a copy of what was there before.
    pub(super) changes: Vec<(Change, Option<PathBuf>)>,
    /// containerd's state directory.
    pub(super) state: PathBuf,
    /// A drop-in was uninstalled while containerd ran: its link leads to this stock shim, and stays
    /// until containerd does not run, as it may remember the link also if it was started since.
    pub(super) left: Option<PathBuf>,
}

impl Note {
    pub(super) fn new(way: Way, shim: PathBuf, state: PathBuf) -> Self {
        Self {
            version: VERSION,
            way,
            shim,
            state,
            changes: vec![],
            left: None,
        }
    }

    /// What is noted; `None` if nothing was done.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read() -> Result<Option<Self>> {
        let path = path();
        let text = file::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let Some(text) = text else {
            return Ok(None);
        };
        let note: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} cannot be understood", path.display()))?;
        ensure!(
            note.version == VERSION,
            "{} has version {}, and this remapctl knows {VERSION}; use the one that has written it",
            path.display(),
            note.version
        );
        Ok(Some(note))
    }

    /// Notes it.
    ///
    /// # Errors
    /// It cannot be written; the old note stays.
    pub(super) fn write(&self) -> Result<()> {
        let path = path();
        let text = serde_json::to_vec_pretty(self).context("the note cannot be written")?;
        directory(Path::new(STATE))?;
        file::replace(&path, &text, 0o600)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Nothing is noted any more, and no backups are kept.
    ///
    /// # Errors
    /// It stays.
    pub(super) fn remove(&self) -> Result<()> {
        let backups = self
            .changes
            .iter()
            .filter_map(|(_, before)| before.as_deref());
        for path in backups.chain([&*path()]) {
            file::remove(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        // Each only if nothing else is kept there.
        let _ = fs::remove_dir(backup_directory());
        let _ = fs::remove_dir(STATE);
        Ok(())
    }

    /// Keeps a copy of what is at `path` now, if anything is.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(super) fn back_up(path: &Path) -> Result<Option<PathBuf>> {
        if !path.exists() {
            return Ok(None);
        }
        let name = path.to_string_lossy().replace('/', "%");
        let backup = backup_directory().join(name);
        directory(Path::new(STATE))?;
        directory(&backup_directory())?;
        file::copy(path, &backup, 0o600)
            .with_context(|| format!("cannot keep {} as {}", path.display(), backup.display()))?;
        Ok(Some(backup))
    }
}

fn path() -> PathBuf {
    Path::new(STATE).join("installed.json")
}

fn backup_directory() -> PathBuf {
    Path::new(STATE).join("backup")
}

/// containerd has to come through it to a shim that is kept.
fn directory(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}

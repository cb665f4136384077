//! The journal: what a populate has under way, for another process to undo it.
//!
//! It has to outlive the process, not the host: the tmpfs that it speaks of does
//! not outlive the host either. So it is written beside and renamed, not synced.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::aside::Aside;
use super::error::PopulateError;
use super::tree::Tree;
use crate::private;
pub(super) use crate::text::TextPath;

/// Version of the format.
const VERSION: u32 = 1;
/// Longest journal that is read, in bytes.
const LIMIT: u64 = 256 << 20;
/// Changes with every boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The journal's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    version: u32,
    /// The target's root, by path and by identity.
    pub(super) target: Target,
    /// How far the populate has got.
    pub(super) step: Step,
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Which directory is populated: the same path may be another tmpfs after a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    #[serde(with = "crate::text")]
    pub(super) path: PathBuf,
    dev: u64,
    ino: u64,
    boot: String,
}

/// A step is recorded before it is begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// The old contents are being saved; the target is unchanged.
    Stashing { stash: TextPath },
    /// The stash is whole; the target may hold anything.
    Replacing { stash: TextPath },
    /// The target is as it shall be; the stash is to be removed.
    Done { stash: TextPath },
    /// The new contents are being made in a directory of their own in the target; or they are in
    /// place for good, and what was put aside is to be removed.
    Staging { stage: TextPath },
    /// The new contents are being moved into place, or are in place; what of the container's own was
    /// there is put aside.
    Adding {
        stage: TextPath,
        added: Vec<Added>,
        #[serde(default)]
        aside: Vec<Aside>,
    },
}

impl Step {
    /// The archive that may hold the old contents.
    pub(super) fn stash(&self) -> Option<&Path> {
        match self {
            Self::Stashing { stash } | Self::Replacing { stash } | Self::Done { stash } => {
                Some(&stash.0)
            }
            Self::Staging { .. } | Self::Adding { .. } => None,
        }
    }
}

/// A name that is added, and the inode it is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Added {
    #[serde(with = "crate::text")]
    pub(super) path: PathBuf,
    pub(super) ino: u64,
}

impl Target {
    /// The identity of an open target.
    pub(super) fn of(tree: &Tree) -> Result<Self, PopulateError> {
        let path = tree.place(Path::new(""));
        let stat = tree
            .pin(Path::new(""))
            .and_then(|root| root.stat())
            .map_err(PopulateError::io("stat", &path))?;
        let boot = std::fs::read_to_string(BOOT_ID).map_err(PopulateError::io("read", BOOT_ID))?;
        Ok(Self {
            path,
            dev: stat.st_dev,
            ino: stat.st_ino,
            boot: boot.trim().to_owned(),
        })
    }
}

/// A journal on disk, with mode 0600.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    journal: Journal,
}

impl JournalFile {
    /// Begins a journal.
    ///
    /// # Errors
    /// When there is one at this path already.
    pub(super) fn create(path: &Path, target: Target, step: Step) -> Result<Self, PopulateError> {
        if path.symlink_metadata().is_ok() {
            return Err(PopulateError::Unfinished(path.to_owned()));
        }
        let file = Self {
            path: path.to_owned(),
            journal: Journal {
                version: VERSION,
                target,
                step,
            },
        };
        file.write()?;
        Ok(file)
    }

    /// Reads the journal at `path`; `None` when there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, PopulateError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                remove_file(&leftover(path))?;
                return Ok(None);
            }
            Err(error) => return Err(PopulateError::io("open", path)(error)),
        };
        let mut text = Vec::new();
        file.take(LIMIT)
            .read_to_end(&mut text)
            .map_err(PopulateError::io("read", path))?;
        let unknown = |reason: String| PopulateError::Journal {
            journal: path.to_owned(),
            reason,
        };
        let malformed = |error: serde_json::Error| unknown(error.to_string());
        let Versioned { version } = serde_json::from_slice(&text).map_err(malformed)?;
        if version != VERSION {
            return Err(unknown(format!("its version is {version}, not {VERSION}")));
        }
        let journal = serde_json::from_slice(&text).map_err(malformed)?;
        Ok(Some(Self {
            path: path.to_owned(),
            journal,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn target(&self) -> &Target {
        &self.journal.target
    }

    pub(super) fn step(&self) -> &Step {
        &self.journal.step
    }

    /// Records the next step, before it is begun.
    pub(super) fn set(&mut self, step: Step) -> Result<(), PopulateError> {
        self.journal.step = step;
        self.write()
    }

    /// Ends the journal: nothing is left to undo.
    pub(super) fn remove(&self) -> Result<(), PopulateError> {
        remove_file(&leftover(&self.path))?;
        remove_file(&self.path)
    }

    fn write(&self) -> Result<(), PopulateError> {
        serde_json::to_vec(&self.journal)
            .map_err(io::Error::from)
            .and_then(|text| private::write(&self.path, &text))
            .map_err(PopulateError::io("write", &self.path))
    }
}

/// What a crash inside [`private::write`] leaves.
fn leftover(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Removes a file; one that is gone already is no error.
pub(super) fn remove_file(path: &Path) -> Result<(), PopulateError> {
    private::remove_if_exists(path).map_err(PopulateError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_of_the_first_builds_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.json");
        std::fs::write(&path, include_bytes!("../../testdata/notes-1/journal.json")).unwrap();
        let journal = JournalFile::open(&path).unwrap().unwrap();
        assert_eq!(journal.target().path, Path::new("/run/shm"));
        let stash = journal.step().stash().unwrap();
        assert_eq!(stash, Path::new("/b/remap/stash/old-0.tar"));
    }
}

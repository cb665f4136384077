//! What can be wrong with a manifest or with the files that it lists.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a manifest could not be made, read or fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a manifest.
    #[error("{} is damaged: {reason}; the checkpoint cannot be used", path.display())]
    Malformed {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer or older program wrote it.
    #[error(
        "{} has the format version {found}, and this program reads version {known}: \
         restore with the version of the program that made the checkpoint", path.display()
    )]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that can be read.
        known: u32,
    },
    /// Files are missing or differ.
    #[error("the checkpoint in {} is damaged, copy it again: {files}", dir.display())]
    Damaged {
        /// The image directory.
        dir: PathBuf,
        /// Each file that is damaged.
        files: DamagedFiles,
    },
}

impl ManifestError {
    /// For `map_err`: what was tried, and on what.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// A listed file that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its name in the manifest.
    pub name: String,
    /// What is wrong with it.
    pub damage: Damage,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is no regular file.
    #[error("is not a regular file")]
    Type,
    /// It is shorter or longer.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// Bytes that it has.
        found: u64,
        /// Bytes that it had.
        expected: u64,
    },
    /// Its contents differ.
    #[error("has other contents (SHA-256)")]
    Contents,
}

/// All damaged files, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFiles(pub Vec<DamagedFile>);

impl From<Vec<DamagedFile>> for DamagedFiles {
    fn from(files: Vec<DamagedFile>) -> Self {
        Self(files)
    }
}

impl fmt::Display for DamagedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}`{}` {}", file.name, file.damage)?;
        }
        Ok(())
    }
}

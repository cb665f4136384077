//! What goes wrong with archives.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::layout::Layout;
use crate::manifest::ManifestError;

/// An archive cannot be written or read. What was made of it is removed again.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The system failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The caller's [`Progress`](super::Progress) said so.
    #[error("interrupted")]
    Interrupted,
    /// There is something already.
    #[error("{} exists already; remove it, or name another", .0.display())]
    Exists(PathBuf),
    /// A layout has no such compression.
    #[error(
        "a {0} archive is not compressed; leave the compression away, or choose another layout"
    )]
    NoCompression(Layout),
    /// A layout needs what is not there.
    #[error("a {layout} archive needs {what}, and there is none in {}", path.display())]
    Lacks {
        /// The layout.
        layout: Layout,
        /// What it needs.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is no archive that is known.
    #[error("{} is no checkpoint that is known: {found}", path.display())]
    Unknown {
        /// The file or directory.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// There is no room for it.
    #[error("{} has {available} bytes left, and {needed} are needed; make room, or choose another place", path.display())]
    NoRoom {
        /// Where it is to go.
        path: PathBuf,
        /// Bytes of all files.
        needed: u64,
        /// Bytes that are left.
        available: u64,
    },
    /// A document cannot be understood.
    #[error("`{name}` is not what it should be")]
    Document {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A document has another digest than it says.
    #[error("`{0}` is damaged: it has other contents (SHA-256)")]
    Altered(&'static str),
    /// A document has another version.
    #[error("`{name}` has version {found}, and this build knows {known}; use a newer one")]
    Version {
        /// Its name.
        name: &'static str,
        /// The version that it has.
        found: u64,
        /// The version that can be read.
        known: u32,
    },
    /// The manifest of the engine cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is damaged, or was made to do damage.
    #[error("{} is damaged, copy it again: {faults}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// All that is wrong, as far as it could be read.
        faults: Faults,
    },
}

/// Something that is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, blob or member; empty for the archive as a whole.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "`{}` {}", self.object, self.what)
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{fault}")?;
        }
        Ok(())
    }
}

impl ArchiveError {
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

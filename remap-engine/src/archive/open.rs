//! Opens an archive, of whatever layout.

mod directory;
mod sink;

use std::path::{Path, PathBuf};

use super::Progress;
use super::container::Container;
use super::document::Document;
use super::error::{ArchiveError, Fault, Faults};
use super::layout::Kind;
use super::partial::Partial;
use crate::manifest::Manifest;
use sink::Sink;

/// An archive of which the documents have been read, and nothing else.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    kind: Kind,
    entries: Vec<Entry>,
    container: Option<Container>,
    manifest: Option<Manifest>,
    document: Option<Document>,
}

/// A file of the plain form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, escaped as by [`escape`](crate::text::escape).
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal digits, if the archive says it.
    pub sha256: Option<String>,
}

/// Opens an archive or a directory: recognises its layout by what is in it, and reads the documents.
///
/// # Errors
/// It cannot be read, is none that is known, or its documents are damaged.
pub fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let metadata = std::fs::metadata(path).map_err(ArchiveError::io("open", path))?;
    if metadata.is_dir() {
        return directory::open(path);
    }
    Err(ArchiveError::Unknown {
        path: path.to_owned(),
        found: "it is no directory".to_owned(),
    })
}

impl Archive {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The container. That of an archive of others is made of what there is.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }

    /// The manifest of the engine; none, if the checkpoint was not made by this project.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The list of files; none, if the archive was not made by this project.
    #[must_use]
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// The files that [`Archive::unpack`] makes.
    #[must_use]
    pub fn files(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// Reads everything, and gives all that is wrong with it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn verify(&self, progress: &mut Progress<'_>) -> Result<Vec<Fault>, ArchiveError> {
        let mut sink = Sink::new(None, progress);
        directory::stream(self, &mut sink)?;
        Ok(sink.faults)
    }

    /// Makes `dir` (mode 0700), which must not exist, with the files of the plain form (mode 0600).
    ///
    /// # Errors
    /// There is no `dir` then, as before.
    pub fn unpack(&self, dir: &Path, progress: &mut Progress<'_>) -> Result<(), ArchiveError> {
        if dir.symlink_metadata().is_ok() {
            return Err(ArchiveError::Exists(dir.to_owned()));
        }
        let partial = Partial::beside(dir)?;
        let mut sink = Sink::new(Some(partial.path()), progress);
        directory::stream(self, &mut sink)?;
        if !sink.faults.is_empty() {
            return Err(ArchiveError::Damaged {
                path: self.path.clone(),
                faults: Faults(sink.faults),
            });
        }
        partial.complete(dir)
    }
}

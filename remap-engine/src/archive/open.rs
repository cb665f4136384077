//! Opens an archive, of whatever layout.

mod describe;
mod directory;
mod layout;
mod members;
mod problem;
mod sink;
mod stream;
mod tar;
mod tarball;

use std::path::{Path, PathBuf};

use super::Progress;
use super::container::Container;
use super::document::Document;
use super::error::{ArchiveError, Fault, Faults};
use super::foreign::{CONFIG_DUMP, SPEC_DUMP};
use super::image::{BLOBS, INDEX_FILE, LAYOUT_FILE};
use super::layout::{Kind, Layout};
use super::partial::Partial;
use crate::manifest::Manifest;
use problem::Problem;
use sink::Sink;
use stream::Packing;
use tar::TarReader;

/// So many members are looked at to recognise an archive.
const LOOKED_AT: usize = 64;

/// An archive of which the documents have been read, and nothing else.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    kind: Kind,
    form: Form,
    entries: Vec<Entry>,
    container: Option<Container>,
    manifest: Option<Manifest>,
    document: Option<Document>,
}

/// Where the files are.
#[derive(Debug)]
enum Form {
    Directory,
    Tarball,
    Layout(Box<layout::Blobs>),
}

/// A file of the plain form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal digits, if the archive says it.
    pub sha256: Option<String>,
}

/// Opens an archive or a directory: recognises its layout by what is in it, and reads the documents.
///
/// A list of files of this project's own is trusted for what it says only as far as the files turn out to
/// be what it says: see [`Archive::verify`] and [`Archive::unpack`].
///
/// # Errors
/// It cannot be read, is none that is known, or its documents are damaged.
pub fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let metadata = std::fs::metadata(path).map_err(ArchiveError::io("open", path))?;
    if metadata.is_dir() {
        return directory::open(path);
    }
    if !metadata.is_file() {
        return Err(unknown(path, "it is neither a file nor a directory"));
    }
    let recognised = recognise(path).map_err(|problem| problem.of(path, ""))?;
    let Some((layout, packing)) = recognised else {
        return Err(unknown(
            path,
            "it is a tar without anything of a checkpoint",
        ));
    };
    let mut archive = match layout {
        Layout::Podman => tarball::open(path)?,
        _ => layout::open(path)?,
    };
    archive.kind.is_compressed = packing != Packing::None;
    Ok(archive)
}

/// Whether it is an image layout, or a tar of files.
fn recognise(path: &Path) -> Result<Option<(Layout, Packing)>, Problem> {
    let (mut file, packing) = stream::open(path)?;
    let mut tar = TarReader::new(file.as_mut());
    for _ in 0..LOOKED_AT {
        let Some(member) = tar.next()? else {
            return Ok(None);
        };
        let name = member.name.as_str();
        let is_blob = name.starts_with(BLOBS) || BLOBS.trim_end_matches('/').starts_with(name);
        if !name.is_empty() && (is_blob || matches!(name, INDEX_FILE | LAYOUT_FILE)) {
            return Ok(Some((Layout::Oci, packing)));
        }
        if name.starts_with("checkpoint") || matches!(name, CONFIG_DUMP | SPEC_DUMP) {
            return Ok(Some((Layout::Podman, packing)));
        }
    }
    Ok(None)
}

fn unknown(path: &Path, found: &str) -> ArchiveError {
    ArchiveError::Unknown {
        path: path.to_owned(),
        found: found.to_owned(),
    }
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
        let sizes = self.entries.iter().map(|entry| entry.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Reads everything, and gives all that is wrong with it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn verify(&self, progress: &mut Progress<'_>) -> Result<Vec<Fault>, ArchiveError> {
        self.stream(None, progress)
    }

    /// Makes `dir` (mode 0700), which must not exist, with the files of the plain form (mode 0600).
    /// Nobody waits for the disk: there is an archive still.
    ///
    /// # Errors
    /// There is no `dir` then, as before.
    pub fn unpack(&self, dir: &Path, progress: &mut Progress<'_>) -> Result<(), ArchiveError> {
        if dir.symlink_metadata().is_ok() {
            return Err(ArchiveError::Exists(dir.to_owned()));
        }
        let partial = Partial::beside(dir)?;
        self.check_room(partial.path())?;
        let faults = self.stream(Some(partial.path()), progress)?;
        if !faults.is_empty() {
            return Err(ArchiveError::Damaged {
                path: self.path.clone(),
                faults: Faults(faults),
            });
        }
        partial.complete(dir)
    }

    fn stream(
        &self,
        dir: Option<&Path>,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Fault>, ArchiveError> {
        let beside = self.beside();
        let mut sink = Sink::new(dir, &self.entries, &beside, progress);
        let read = match &self.form {
            Form::Directory => directory::stream(self, &mut sink),
            Form::Tarball => tarball::stream(self, &mut sink),
            Form::Layout(blobs) => layout::stream(self, blobs, &mut sink),
        };
        match read {
            Ok(()) => {}
            Err(Problem::Bad(what)) => sink.fault("", what),
            Err(other) => return Err(other.of(&self.path, "")),
        }
        Ok(sink.end())
    }

    /// What has to be there beside the files of the plain form.
    fn beside(&self) -> Vec<Entry> {
        let is_beside = matches!(self.kind.layout, Layout::Podman | Layout::Registry);
        let document = self.document.iter().filter(|_| is_beside);
        let beside = document.flat_map(|document| &document.beside);
        let beside = beside.map(|(name, digest)| Entry {
            name: name.clone(),
            size: digest.size,
            sha256: Some(digest.sha256.clone()),
        });
        beside.collect()
    }

    /// Refuses what is said to be larger than the disk, before anything is written.
    fn check_room(&self, dir: &Path) -> Result<(), ArchiveError> {
        let room = rustix::fs::statvfs(dir);
        let room = room.map_err(|error| ArchiveError::io("look at", dir)(error.into()))?;
        let available = room.f_bavail.saturating_mul(room.f_frsize);
        if self.bytes() <= available {
            return Ok(());
        }
        Err(ArchiveError::NoRoom {
            path: dir.parent().unwrap_or(dir).to_owned(),
            needed: self.bytes(),
            available,
        })
    }
}

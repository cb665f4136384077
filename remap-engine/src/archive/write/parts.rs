//! All that is to be written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::part::{self, Content, Part};
use super::podman;
use crate::archive::ROOTFS_DIFF_FILE;
use crate::archive::container::{CONTAINER_FILE, Container};
use crate::archive::document::{ARCHIVE_FILE, Document};
use crate::archive::error::{ArchiveError, Fault, Faults};
use crate::archive::foreign::{DELETED_FILES, STATS_DUMP};
use crate::archive::layout::Layout;
use crate::archive::source::{BaseImage, Source};
use crate::manifest::{FileDigest, Manifest};

/// With which a gzip file begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The files of a checkpoint.
#[derive(Debug)]
pub(super) struct Parts<'s> {
    /// The directory of CRIU's images.
    pub(super) dir: PathBuf,
    /// In the order in which they are written: the documents first.
    pub(super) files: Vec<Part<'s>>,
    /// Files that only others want to have, and that are made of the documents.
    pub(super) beside: Vec<Part<'s>>,
    pub(super) container: Option<Container>,
    pub(super) base_image: Option<&'s BaseImage>,
    /// By name, as the manifest has them.
    pub(super) versions: BTreeMap<String, String>,
}

impl<'s> Parts<'s> {
    /// Lists the directory, and finds the digests of what has none yet.
    pub(super) fn of(source: &'s Source<'_>, layout: Layout) -> Result<Self, ArchiveError> {
        let dir = source.images;
        let mut found = list(dir)?;
        let manifest = Manifest::read(dir)?;
        let known = known_digests(dir, manifest.as_ref())?;
        missing(dir, &known, &found, source)?;
        let container = container(source)?;
        found.remove(ARCHIVE_FILE);
        let mut files = Vec::new();
        if let Some(container) = source.container {
            found.remove(CONTAINER_FILE);
            let text = container.to_json().map_err(unwritable(CONTAINER_FILE))?;
            files.push(Part::new(CONTAINER_FILE, Content::Bytes(text))?);
        }
        if let Some(diff) = &source.rootfs_diff {
            found.remove(ROOTFS_DIFF_FILE);
            let content = Content::Other(diff.content.as_ref());
            files.push(match &diff.digest {
                Some(digest) => Part {
                    name: ROOTFS_DIFF_FILE.to_owned(),
                    digest: digest.clone(),
                    content,
                },
                None => Part::new(ROOTFS_DIFF_FILE, content)?,
            });
        }
        for (name, path) in found {
            let content = Content::File(path);
            files.push(match known.get(&name) {
                Some(digest) => Part {
                    digest: digest.clone(),
                    name,
                    content,
                },
                None => Part::new(&name, content)?,
            });
        }
        let mut parts = Self {
            dir: dir.to_owned(),
            files,
            beside: Vec::new(),
            container,
            base_image: source.base_image.as_ref(),
            versions: manifest.map(|it| it.versions).unwrap_or_default(),
        };
        if layout == Layout::Oci {
            parts.rootfs_diff_for_containerd()?;
        }
        if matches!(layout, Layout::Podman | Layout::Registry) {
            let runtime = parts.versions.get("runtime").map(String::as_str);
            let mut beside = podman::beside(parts.container(layout)?, runtime)?;
            let diff = parts
                .files
                .iter()
                .find(|part| part.name == ROOTFS_DIFF_FILE);
            let is_listed = parts.files.iter().any(|part| part.name == DELETED_FILES);
            if let Some(diff) = diff.filter(|_| !is_listed) {
                beside.extend(podman::deleted_files(diff)?);
            }
            // checkpointctl looks for it there.
            let stats = parts.files.iter().find(|part| part.name == STATS_DUMP);
            beside.extend(stats.map(Part::again));
            parts.beside = beside;
        }
        parts.list()?;
        Ok(parts)
    }

    /// The container.
    pub(super) fn container(&self, layout: Layout) -> Result<&Container, ArchiveError> {
        self.container.as_ref().ok_or_else(|| ArchiveError::Lacks {
            layout,
            what: CONTAINER_FILE,
            path: self.dir.clone(),
        })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let all = self.files.iter().chain(&self.beside);
        all.map(|part| part.digest.size).sum()
    }

    /// containerd restores nothing else than a layer with gzip, and fails without one
    /// (`WithRestoreRW`).
    fn rootfs_diff_for_containerd(&mut self) -> Result<(), ArchiveError> {
        let is_diff = |part: &Part<'_>| part.name == ROOTFS_DIFF_FILE;
        let diff = match self.files.iter().position(is_diff) {
            Some(index) => self.files.remove(index),
            None => Part::new(ROOTFS_DIFF_FILE, Content::Bytes(vec![0; 1024]))?,
        };
        let mut start = [0; 2];
        diff.content.start(&mut start)?;
        self.files.push(match start {
            GZIP => diff,
            _ => diff.gzip()?,
        });
        Ok(())
    }

    /// Puts all in order, with the list of them first. Whoever wants to know what an archive is need
    /// not read it all.
    fn list(&mut self) -> Result<(), ArchiveError> {
        let order = |part: &Part<'_>| (!part.name.ends_with(".json"), part.digest.size);
        self.files.sort_by_key(order);
        let digests = |parts: &[Part<'_>]| {
            let digests = parts.iter();
            digests
                .map(|part| (part.name.clone(), part.digest.clone()))
                .collect()
        };
        let document = Document::new(digests(&self.files), digests(&self.beside));
        let document = document.to_json().map_err(unwritable(ARCHIVE_FILE))?;
        self.files
            .insert(0, Part::new(ARCHIVE_FILE, Content::Bytes(document))?);
        Ok(())
    }
}

fn unwritable(name: &'static str) -> impl FnOnce(serde_json::Error) -> ArchiveError {
    move |source| ArchiveError::Document { name, source }
}

/// The files, if all of them can be in an archive.
fn list(dir: &Path) -> Result<BTreeMap<String, PathBuf>, ArchiveError> {
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for (object, file) in part::list(dir).map_err(ArchiveError::io("list", dir))? {
        match file {
            Ok(path) => {
                files.insert(object, path);
            }
            Err(what) => faults.push(Fault {
                object,
                what: what.to_owned(),
            }),
        }
    }
    if !faults.is_empty() {
        return Err(damaged(dir, faults));
    }
    if files.contains_key("inventory.img") {
        return Ok(files);
    }
    Err(ArchiveError::Unknown {
        path: dir.to_owned(),
        found: "there is no `inventory.img` of CRIU in it".to_owned(),
    })
}

/// The digests that the documents of a directory have.
fn known_digests(
    dir: &Path,
    manifest: Option<&Manifest>,
) -> Result<BTreeMap<String, FileDigest>, ArchiveError> {
    let mut known = BTreeMap::new();
    let path = dir.join(ARCHIVE_FILE);
    match std::fs::read(&path) {
        Ok(text) => known.extend(Document::from_json(&text)?.files),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ArchiveError::io("read", path)(error)),
    }
    known.extend(manifest.iter().flat_map(|manifest| manifest.files.clone()));
    Ok(known)
}

/// Refuses a directory from which a listed file is gone.
fn missing(
    dir: &Path,
    known: &BTreeMap<String, FileDigest>,
    found: &BTreeMap<String, PathBuf>,
    source: &Source<'_>,
) -> Result<(), ArchiveError> {
    let is_given = |name: &str| {
        (name == CONTAINER_FILE && source.container.is_some())
            || (name == ROOTFS_DIFF_FILE && source.rootfs_diff.is_some())
    };
    let missing = known.keys().filter(|name| !found.contains_key(*name));
    let missing: Vec<Fault> = missing
        .filter(|name| !is_given(name))
        .map(|name| Fault {
            object: name.clone(),
            what: "is missing".to_owned(),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(damaged(dir, missing))
}

fn damaged(dir: &Path, faults: Vec<Fault>) -> ArchiveError {
    ArchiveError::Damaged {
        path: dir.to_owned(),
        faults: Faults(faults),
    }
}

/// The container that is given, or that of the directory.
fn container(source: &Source<'_>) -> Result<Option<Container>, ArchiveError> {
    if let Some(container) = source.container {
        return Ok(Some(container.clone()));
    }
    let path = source.images.join(CONTAINER_FILE);
    match std::fs::read(&path) {
        Ok(text) => Ok(Some(Container::from_json(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ArchiveError::io("read", path)(error)),
    }
}

//! The files of the plain form, before they are written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::archive::container::{CONTAINER_FILE, Container};
use crate::archive::document::{ARCHIVE_FILE, Document};
use crate::archive::error::{ArchiveError, Fault, Faults};
use crate::archive::source::{Open, Source};
use crate::archive::{CHUNK, ROOTFS_DIFF_FILE};
use crate::manifest::{FileDigest, Manifest};
use crate::text::{escape, unescape};

/// All files, the documents first.
#[derive(Debug)]
pub(super) struct Parts<'s> {
    /// In the order in which they are written.
    pub(super) files: Vec<Part<'s>>,
    /// The container, if it is known.
    #[allow(dead_code)]
    pub(super) container: Option<Container>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Part<'s> {
    /// Escaped as by [`escape`].
    pub(super) name: String,
    pub(super) digest: FileDigest,
    pub(super) content: Content<'s>,
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub(super) enum Content<'s> {
    File(PathBuf),
    Bytes(Vec<u8>),
    Other(&'s dyn Open),
}

impl<'s> Parts<'s> {
    /// Lists the directory, and finds the digests of what has none yet.
    pub(super) fn of(source: &'s Source<'_>) -> Result<Self, ArchiveError> {
        let mut found = list(source.images)?;
        let known = known_digests(source.images)?;
        let added = [
            (CONTAINER_FILE, source.container.is_some()),
            (ROOTFS_DIFF_FILE, source.rootfs_diff.is_some()),
            (ARCHIVE_FILE, true),
        ];
        for name in added.iter().filter_map(|(name, is)| is.then_some(*name)) {
            found.remove(name);
        }
        missing(source.images, &known, &found, source)?;
        let mut files = Vec::new();
        for (name, path) in found {
            let content = Content::File(path);
            let digest = match known.get(&name) {
                Some(digest) => digest.clone(),
                None => content.digest()?,
            };
            files.push(Part {
                name,
                digest,
                content,
            });
        }
        let container = container(source)?;
        if let Some(container) = source.container {
            let text = container.to_json();
            let text = text.map_err(|source| ArchiveError::Document {
                name: CONTAINER_FILE,
                source,
            })?;
            files.push(Part::new(CONTAINER_FILE, Content::Bytes(text))?);
        }
        if let Some(diff) = &source.rootfs_diff {
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
        // Whoever wants to know what an archive is need not read it all.
        files.sort_by_cached_key(|part| (!part.name.ends_with(".json"), part.digest.size));
        let listed = files.iter();
        let listed = listed.map(|part| (part.name.clone(), part.digest.clone()));
        let document = Document::new(listed.collect()).to_json();
        let document = document.map_err(|source| ArchiveError::Document {
            name: ARCHIVE_FILE,
            source,
        })?;
        files.insert(0, Part::new(ARCHIVE_FILE, Content::Bytes(document))?);
        Ok(Self { files, container })
    }
}

impl<'s> Part<'s> {
    fn new(name: &str, content: Content<'s>) -> Result<Self, ArchiveError> {
        let digest = content.digest()?;
        Ok(Self {
            name: name.to_owned(),
            digest,
            content,
        })
    }

    /// The name as the system has it.
    pub(super) fn file_name(&self) -> OsString {
        unescape(&self.name).unwrap_or_default()
    }
}

impl Content<'_> {
    /// The bytes from the first on.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::Other(other) => other.open()?,
        })
    }

    /// For errors.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Bytes(_) => PathBuf::new(),
            Self::Other(other) => format!("{other:?}").into(),
        }
    }

    fn digest(&self) -> Result<FileDigest, ArchiveError> {
        let digest = || {
            let mut reader = self.open()?;
            let (mut hash, mut size) = (Sha256::new(), 0);
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = reader.read(&mut chunk)?;
                let Some(read @ [_, ..]) = chunk.get(..count) else {
                    break;
                };
                hash.update(read);
                size += count as u64;
            }
            Ok(FileDigest {
                size,
                sha256: format!("{:x}", hash.finalize()),
            })
        };
        digest().map_err(ArchiveError::io("read", self.path()))
    }
}

/// The files of a directory by their escaped names. It has to be flat.
fn list(dir: &Path) -> Result<BTreeMap<String, PathBuf>, ArchiveError> {
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(ArchiveError::io("list", dir))? {
        let entry = entry.map_err(ArchiveError::io("list", dir))?;
        let kind = entry.file_type();
        let name = escape(&entry.file_name());
        if kind
            .map_err(ArchiveError::io("stat", entry.path()))?
            .is_file()
        {
            files.insert(name, entry.path());
        } else {
            faults.push(Fault {
                object: name,
                what: "is not a regular file".to_owned(),
            });
        }
    }
    if !faults.is_empty() {
        return Err(ArchiveError::Damaged {
            path: dir.to_owned(),
            faults: Faults(faults),
        });
    }
    if !files.contains_key("inventory.img") {
        return Err(ArchiveError::Unknown {
            path: dir.to_owned(),
            found: "there is no `inventory.img` of CRIU in it".to_owned(),
        });
    }
    Ok(files)
}

/// The digests that the documents of a directory have.
fn known_digests(dir: &Path) -> Result<BTreeMap<String, FileDigest>, ArchiveError> {
    let mut known = BTreeMap::new();
    let path = dir.join(ARCHIVE_FILE);
    match std::fs::read(&path) {
        Ok(text) => known.extend(Document::from_json(&text)?.files),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ArchiveError::io("read", path)(error)),
    }
    if let Some(manifest) = Manifest::read(dir)? {
        known.extend(manifest.files);
    }
    Ok(known)
}

/// Refuses a directory from which a listed file is gone.
fn missing(
    dir: &Path,
    known: &BTreeMap<String, FileDigest>,
    found: &BTreeMap<String, PathBuf>,
    source: &Source<'_>,
) -> Result<(), ArchiveError> {
    let given = |name: &str| {
        (name == CONTAINER_FILE && source.container.is_some())
            || (name == ROOTFS_DIFF_FILE && source.rootfs_diff.is_some())
    };
    let missing = known.keys().filter(|name| !found.contains_key(*name));
    let missing: Vec<Fault> = missing
        .filter(|name| !given(name))
        .map(|name| Fault {
            object: name.clone(),
            what: "is missing".to_owned(),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ArchiveError::Damaged {
        path: dir.to_owned(),
        faults: Faults(missing),
    })
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

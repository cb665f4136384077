//! The files of the plain form, before they are written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::archive::CHUNK;
use crate::archive::error::ArchiveError;
use crate::archive::source::Open;
use crate::manifest::FileDigest;

/// One file.
#[derive(Debug)]
pub(super) struct Part<'s> {
    /// A plain name.
    pub(super) name: String,
    pub(super) digest: FileDigest,
    pub(super) content: Content<'s>,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(super) enum Content<'s> {
    File(PathBuf),
    Bytes(Vec<u8>),
    Other(&'s dyn Open),
    /// They are to be compressed with gzip.
    Gzip(Box<Self>),
}

impl<'s> Part<'s> {
    /// One that is read for its digest.
    pub(super) fn new(name: &str, content: Content<'s>) -> Result<Self, ArchiveError> {
        let digest = content.digest()?;
        Ok(Self {
            name: name.to_owned(),
            digest,
            content,
        })
    }

    /// The same once more.
    pub(super) fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            digest: self.digest.clone(),
            content: self.content.clone(),
        }
    }

    /// The same, compressed with gzip.
    pub(super) fn gzip(self) -> Result<Self, ArchiveError> {
        Self::new(&self.name, Content::Gzip(Box::new(self.content)))
    }
}

impl Content<'_> {
    /// The bytes from the first on.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::Other(other) => other.open()?,
            Self::Gzip(plain) => {
                Box::new(GzEncoder::new(plain.open()?, flate2::Compression::fast()))
            }
        })
    }

    /// The first bytes, for which there is room.
    pub(super) fn start(&self, room: &mut [u8]) -> Result<(), ArchiveError> {
        let read = || match self.open()?.read_exact(room) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(()),
        };
        let mut read = read;
        read().map_err(ArchiveError::io("read", self.path()))
    }

    /// For errors.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Bytes(_) => PathBuf::new(),
            Self::Other(other) => format!("{other:?}").into(),
            Self::Gzip(plain) => plain.path(),
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

/// The files of a directory by their names. It has to be flat.
pub(super) fn list(dir: &Path) -> io::Result<BTreeMap<String, Result<PathBuf, &'static str>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = crate::text::escape(&entry.file_name());
        let file = if !entry.file_type()?.is_file() {
            Err("is not a regular file")
        } else if !crate::archive::name::is_plain(&name) {
            Err("has a name that no archive can hold")
        } else {
            Ok(entry.path())
        };
        files.insert(name, file);
    }
    Ok(files)
}

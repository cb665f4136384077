//! What is done with the files of an archive as they come.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Entry;
use crate::archive::Progress;
use crate::archive::error::{ArchiveError, Fault};
use crate::private;
use crate::text::unescape;

/// A part of a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'p> {
    /// These bytes.
    Data(&'p [u8]),
    #[allow(dead_code)]
    /// So many zeros.
    Hole(u64),
}

/// Takes file after file.
pub(super) struct Sink<'s, 'p> {
    /// Where files are made; none are, if there is none.
    dir: Option<&'s Path>,
    progress: &'s mut Progress<'p>,
    done: u64,
    /// All that was wrong so far.
    pub(super) faults: Vec<Fault>,
}

/// A file that comes.
pub(super) struct Incoming<'e> {
    entry: &'e Entry,
    hash: Option<Sha256>,
    size: u64,
    file: Option<(PathBuf, File)>,
}

impl<'s, 'p> Sink<'s, 'p> {
    pub(super) fn new(dir: Option<&'s Path>, progress: &'s mut Progress<'p>) -> Self {
        Self {
            dir,
            progress,
            done: 0,
            faults: Vec::new(),
        }
    }

    /// Notes what is wrong.
    pub(super) fn fault(&mut self, object: &str, what: impl Into<String>) {
        self.faults.push(Fault {
            object: object.to_owned(),
            what: what.into(),
        });
    }

    /// The next file.
    pub(super) fn begin<'e>(&mut self, entry: &'e Entry) -> Result<Incoming<'e>, ArchiveError> {
        let file = match self.dir {
            Some(dir) => {
                let path = dir.join(unescape(&entry.name).unwrap_or_default());
                let file = private::create_file(&path);
                let file = file.map_err(ArchiveError::io("make", &path))?;
                Some((path, file))
            }
            None => None,
        };
        Ok(Incoming {
            entry,
            hash: entry.sha256.as_ref().map(|_| Sha256::new()),
            size: 0,
            file,
        })
    }

    /// More of it.
    pub(super) fn piece(
        &mut self,
        incoming: &mut Incoming<'_>,
        piece: Piece<'_>,
    ) -> Result<(), ArchiveError> {
        let length = match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole(length) => length,
        };
        incoming.size += length;
        if let Some(hash) = &mut incoming.hash {
            match piece {
                Piece::Data(bytes) => hash.update(bytes),
                Piece::Hole(length) => hash_zeros(hash, length),
            }
        }
        if let Some((path, file)) = &mut incoming.file {
            let written = match piece {
                Piece::Data(bytes) => file.write_all(bytes),
                Piece::Hole(_) => file.seek(SeekFrom::Start(incoming.size)).map(|_| ()),
            };
            written.map_err(ArchiveError::io("write", &*path))?;
        }
        self.done += length;
        if (self.progress)(self.done).is_break() {
            return Err(ArchiveError::Interrupted);
        }
        Ok(())
    }

    /// No more of it.
    pub(super) fn end(&mut self, incoming: Incoming<'_>) -> Result<(), ArchiveError> {
        let entry = incoming.entry;
        if incoming.size != entry.size {
            let what = format!("has {} bytes instead of {}", incoming.size, entry.size);
            self.fault(&entry.name, what);
        } else if let Some(hash) = incoming.hash {
            let found = format!("{:x}", hash.finalize());
            if entry.sha256.as_ref() != Some(&found) {
                self.fault(&entry.name, "has other contents (SHA-256)");
            }
        }
        if let Some((path, file)) = incoming.file {
            let whole = file.set_len(incoming.size).and_then(|()| file.sync_all());
            whole.map_err(ArchiveError::io("write", path))?;
        }
        Ok(())
    }
}

fn hash_zeros(hash: &mut Sha256, mut length: u64) {
    const ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while length > 0 {
        let count = usize::try_from(length).map_or(ZEROS.len(), |length| length.min(ZEROS.len()));
        hash.update(ZEROS.get(..count).unwrap_or_default());
        length -= count as u64;
    }
}

/// For files that vanish, or are something else by now.
pub(super) fn is_fault(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error() {
        Some(libc::ENOENT) => Some("is missing"),
        Some(libc::ELOOP | libc::ENXIO) => Some("is not a regular file"),
        _ => None,
    }
}

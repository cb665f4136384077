//! The members of a tar, one after the other.

use std::sync::Arc;

use tar::{EntryType, Header};

use super::feed::{Feed, Output};
use super::part::Part;
use crate::archive::error::ArchiveError;

/// Size of a tar's blocks, in bytes.
pub(super) const BLOCK: usize = 512;

/// A tar under way.
pub(super) struct Tape<'t, 'o, 'f, 'p> {
    feed: &'t mut Feed<'f, 'p>,
    out: &'t mut Output<'o>,
}

impl<'t, 'o, 'f, 'p> Tape<'t, 'o, 'f, 'p> {
    pub(super) fn new(feed: &'t mut Feed<'f, 'p>, out: &'t mut Output<'o>) -> Self {
        Self { feed, out }
    }

    /// A directory.
    pub(super) fn directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        self.put(header(name, EntryType::Directory, 0o700, 0)?)
    }

    /// A file in a directory, or in none.
    pub(super) fn file(&mut self, directory: &str, part: &Part<'_>) -> Result<(), ArchiveError> {
        let name = format!("{directory}{}", part.name);
        let size = part.digest.size;
        self.put(header(&name, EntryType::Regular, 0o600, size)?)?;
        self.feed.part(part, self.out)?;
        self.put(padding(size))
    }

    /// The end mark.
    pub(super) fn end(mut self) -> Result<(), ArchiveError> {
        self.put(vec![0; 2 * BLOCK])
    }

    fn put(&mut self, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        (self.out)(&Arc::new(bytes.into()))
    }
}

/// What follows data of so many bytes.
pub(super) fn padding(size: u64) -> Vec<u8> {
    let block = BLOCK as u64;
    let count = size.next_multiple_of(block).saturating_sub(size);
    vec![0; usize::try_from(count).unwrap_or_default()]
}

/// A member's header, in the format of GNU tar, whose sizes have no limit.
pub(super) fn header(
    name: &str,
    kind: EntryType,
    mode: u32,
    size: u64,
) -> Result<Vec<u8>, ArchiveError> {
    let mut header = Header::new_gnu();
    let named = header.set_path(name);
    named.map_err(ArchiveError::io("put into a tar", name))?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

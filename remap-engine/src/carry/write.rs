//! Writes an archive: a POSIX pax tar that other tools can read too.
//!
//! Each member is an extended header, a ustar header, and the data, behind the map
//! of a sparse file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::entry::{Attributes, Extent, Node};
use super::headers::{extended, extended_block, main};
use super::{pax, sparse};

/// Size of a tar block in bytes.
pub(super) const BLOCK: u64 = 512;
/// A block of zeros: padding, and twice the end mark.
pub(super) const ZEROS: [u8; 512] = [0; 512];
/// Bytes moved at once between a file and an archive.
pub(super) const CHUNK: usize = 1 << 20;
/// Runs of data of this many bytes go into the archive by sendfile(2); for shorter ones what is
/// collected is not written before its time.
const SEND_FROM: u64 = 32 << 10;
/// Collected before a write; data comes in larger pieces and goes past it.
const BUFFER: usize = 256 << 10;

/// Why a member was not written.
pub(super) enum WriteError {
    /// The archive cannot be written.
    Write(io::Error),
    /// The file cannot be read.
    Read(io::Error),
    /// The file is shorter than its map says.
    Changed,
    /// The extended header would have this many bytes.
    Attributes(usize),
}

/// An archive under way. Not complete before [`finish`](Self::finish).
pub(super) struct ArchiveWriter {
    out: BufWriter<File>,
    written: u64,
    chunk: Vec<u8>,
}

impl ArchiveWriter {
    pub(super) fn new(out: File) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER, out),
            written: 0,
            chunk: Vec::new(),
        }
    }

    /// Writes a member; `data` is the open file for a [`Node::Regular`].
    pub(super) fn member(
        &mut self,
        path: &Path,
        node: &Node,
        attributes: &Attributes,
        data: Option<&File>,
    ) -> Result<(), WriteError> {
        let (map, size) = payload(node);
        let extended = extended(path, node, attributes);
        if extended.len() > pax::LIMIT {
            return Err(WriteError::Attributes(extended.len()));
        }
        let main = main(path, node, attributes, size).map_err(WriteError::Write)?;
        self.put(extended_block(extended.len() as u64).as_bytes())?;
        self.put(&extended)?;
        self.pad()?;
        self.put(main.as_bytes())?;
        self.put(map.as_bytes())?;
        self.pad()?;
        if let (Node::Regular { extents, .. }, Some(file)) = (node, data) {
            for extent in extents {
                self.data(file, *extent)?;
            }
            self.pad()?;
        }
        Ok(())
    }

    /// Writes the end mark, and gives the archive's length in bytes.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.out.write_all(&ZEROS)?;
        self.out.write_all(&ZEROS)?;
        self.out.flush()?;
        Ok(self.written + 2 * BLOCK)
    }

    fn data(&mut self, file: &File, extent: Extent) -> Result<(), WriteError> {
        let sent = if extent.length < SEND_FROM {
            0
        } else {
            self.send(file, extent)?
        };
        let mut offset = extent.offset + sent;
        let mut left = extent.length.saturating_sub(sent);
        if left > 0 {
            self.chunk.resize(CHUNK, 0);
        }
        while left > 0 {
            let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let chunk = self.chunk.get_mut(..wanted).unwrap_or_default();
            let count = file.read_at(chunk, offset).map_err(WriteError::Read)?;
            if count == 0 {
                return Err(WriteError::Changed);
            }
            let read = self.chunk.get(..count).unwrap_or_default();
            self.out.write_all(read).map_err(WriteError::Write)?;
            self.written += count as u64;
            offset += count as u64;
            left -= count as u64;
        }
        Ok(())
    }

    /// Has the kernel write data from the file's pages into the archive, without a copy of them in
    /// between, and gives the number of bytes. What it does not do, for whatever reason, is left to
    /// be read and written, which tells why.
    fn send(&mut self, file: &File, extent: Extent) -> Result<u64, WriteError> {
        self.out.flush().map_err(WriteError::Write)?;
        let mut offset = extent.offset;
        let end = extent.offset.saturating_add(extent.length);
        while offset < end {
            let count = usize::try_from(end - offset).unwrap_or(CHUNK);
            match rustix::fs::sendfile(self.out.get_ref(), file, Some(&mut offset), count) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(1..) => {}
                _ => break,
            }
        }
        let sent = offset.saturating_sub(extent.offset);
        self.written += sent;
        Ok(sent)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(WriteError::Write)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> Result<(), WriteError> {
        let padding = self.written.next_multiple_of(BLOCK) - self.written;
        let padding = usize::try_from(padding).unwrap_or_default();
        self.put(ZEROS.get(..padding).unwrap_or_default())
    }
}

/// The sparse map, if any, and the member's size: the padded map and the data.
fn payload(node: &Node) -> (String, u64) {
    match node {
        Node::Regular { size, extents, .. } => {
            let data = sparse::data_bytes(extents);
            if sparse::has_holes(extents, *size) {
                let map = sparse::map(extents, *size);
                let padded = (map.len() as u64).next_multiple_of(BLOCK);
                (map, padded + data)
            } else {
                (String::new(), data)
            }
        }
        _ => (String::new(), 0),
    }
}

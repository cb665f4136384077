//! Writes an archive: a POSIX pax tar that other tools can read too.
//!
//! Each member is an extended header with what ustar cannot say (nanoseconds,
//! long or odd names, extended attributes, sparse maps), a ustar header, and the
//! data. Vendor records of our own are `REMAP.reserved` (storage is reserved for
//! the holes) and `REMAP.socket` (a FIFO header stands for a socket's name).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tar::{EntryType, Header};

use super::entry::{Attributes, Extent, Node, Timestamp};
use super::{pax, sparse};

/// Size of a tar block in bytes.
pub(super) const BLOCK: u64 = 512;
/// A block of zeros: padding, and twice the end mark.
pub(super) const ZEROS: [u8; 512] = [0; 512];
/// Bytes moved at once between a file and an archive.
pub(super) const CHUNK: usize = 1 << 20;
/// Prefix of the records that hold extended attributes (star(1)).
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
/// Marks a file whose holes have reserved storage.
pub(super) const RESERVED: &[u8] = b"REMAP.reserved";
/// Marks a FIFO header that stands for a socket.
pub(super) const SOCKET: &[u8] = b"REMAP.socket";
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
        let extended = extended_header(path, node, attributes);
        if extended.len() > pax::LIMIT {
            return Err(WriteError::Attributes(extended.len()));
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        set_name(&mut header, b"./PaxHeaders");
        header.set_size(extended.len() as u64);
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.put(&extended)?;
        self.pad()?;
        self.put(main_header(path, node, attributes, size)?.as_bytes())?;
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
        self.chunk.resize(CHUNK, 0);
        let mut offset = extent.offset;
        let mut left = extent.length;
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

/// The name in the archive: `./` for the root, a trailing slash for directories.
fn member_name(path: &Path, node: &Node) -> Vec<u8> {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if name.is_empty() {
        name.push(b'.');
    }
    if *node == Node::Directory {
        name.push(b'/');
    }
    name
}

fn link_name(node: &Node) -> Option<&OsStr> {
    match node {
        Node::Symlink(target) => Some(target),
        Node::HardLink(target) => Some(target.as_os_str()),
        _ => None,
    }
}

fn extended_header(path: &Path, node: &Node, attributes: &Attributes) -> Vec<u8> {
    let mut body = Vec::new();
    let name = member_name(path, node);
    let link = link_name(node).map(OsStr::as_bytes);
    if [Some(name.as_slice()), link]
        .into_iter()
        .flatten()
        .any(|bytes| std::str::from_utf8(bytes).is_err())
    {
        pax::push(&mut body, b"hdrcharset", b"BINARY");
    }
    pax::push(&mut body, b"mtime", timestamp(attributes.mtime).as_bytes());
    pax::push(&mut body, b"atime", timestamp(attributes.atime).as_bytes());
    if let Some(link) = link {
        pax::push(&mut body, b"linkpath", link);
    }
    match node {
        Node::Regular {
            size,
            extents,
            reserved,
        } => {
            if sparse::has_holes(extents, *size) {
                pax::push(&mut body, b"GNU.sparse.major", b"1");
                pax::push(&mut body, b"GNU.sparse.minor", b"0");
                pax::push(&mut body, b"GNU.sparse.name", &name);
                pax::push(
                    &mut body,
                    b"GNU.sparse.realsize",
                    size.to_string().as_bytes(),
                );
            }
            if *reserved {
                pax::push(&mut body, RESERVED, b"1");
            }
        }
        Node::Socket => pax::push(&mut body, SOCKET, b"1"),
        _ => {}
    }
    pax::push(&mut body, b"path", &name);
    for (name, value) in &attributes.xattrs {
        pax::push(&mut body, &xattr_key(name), value);
    }
    body
}

/// `=` would end the key: GNU tar writes it as `%3D`, and `%` as `%25`.
fn xattr_key(name: &OsStr) -> Vec<u8> {
    let mut key = XATTR_PREFIX.to_vec();
    for byte in name.as_bytes() {
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            other => key.push(*other),
        }
    }
    key
}

/// Seconds and nanoseconds as a decimal fraction, towards minus infinity as stat(2).
fn timestamp(time: Timestamp) -> String {
    match (time.seconds, time.nanoseconds) {
        (seconds @ 0.., nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        (seconds, 0) => format!("{seconds}.000000000"),
        // -2 s + 0.25 s is -1.75 s.
        (seconds, nanoseconds) => format!(
            "-{}.{:09}",
            (seconds + 1).unsigned_abs(),
            1_000_000_000 - nanoseconds
        ),
    }
}

fn main_header(
    path: &Path,
    node: &Node,
    attributes: &Attributes,
    size: u64,
) -> Result<Header, WriteError> {
    let mut header = Header::new_ustar();
    set_name(&mut header, &member_name(path, node));
    if let Some(link) = link_name(node) {
        fill(&mut header.as_old_mut().linkname, link.as_bytes());
    }
    header.set_mode(attributes.mode);
    header.set_uid(attributes.uid.into());
    header.set_gid(attributes.gid.into());
    header.set_mtime(u64::try_from(attributes.mtime.seconds).unwrap_or(0));
    header.set_size(size);
    header.set_entry_type(match node {
        Node::Directory => EntryType::Directory,
        Node::Regular { .. } => EntryType::Regular,
        Node::Symlink(_) => EntryType::Symlink,
        Node::Fifo | Node::Socket => EntryType::Fifo,
        Node::Device { block: true, .. } => EntryType::Block,
        Node::Device { block: false, .. } => EntryType::Char,
        Node::HardLink(_) => EntryType::Link,
    });
    let (major, minor) = match node {
        Node::Device { major, minor, .. } => (*major, *minor),
        _ => (0, 0),
    };
    header.set_device_major(major).map_err(WriteError::Write)?;
    header.set_device_minor(minor).map_err(WriteError::Write)?;
    header.set_cksum();
    Ok(header)
}

/// The name for tools that do not know pax; the whole name is in the record.
fn set_name(header: &mut Header, name: &[u8]) {
    fill(&mut header.as_old_mut().name, name);
}

fn fill(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_are_decimal_fractions() {
        let text = |seconds, nanoseconds| {
            timestamp(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(text(1, 5), "1.000000005");
        assert_eq!(text(-2, 250_000_000), "-1.750000000");
        assert_eq!(text(-1, 999_999_999), "-0.000000001");
        assert_eq!(text(-3, 0), "-3.000000000");
    }
}

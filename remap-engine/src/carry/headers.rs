//! The headers of a member.
//!
//! The extended header has what ustar cannot say: nanoseconds, long or odd names,
//! extended attributes, sparse maps. Records of our own are `REMAP.reserved` (storage
//! is reserved for the holes, too), `REMAP.socket` (a FIFO's header stands for a
//! socket's name) and `REMAP.origin` (which inode it was).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tar::{EntryType, Header};

use super::entry::{Attributes, Node, Timestamp};
use super::{pax, sparse};

/// Prefix of the records that hold extended attributes (star(1)).
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
/// Marks a file whose holes have reserved storage.
pub(super) const RESERVED: &[u8] = b"REMAP.reserved";
/// Marks a FIFO header that stands for a socket.
pub(super) const SOCKET: &[u8] = b"REMAP.socket";
/// Which inode it was: see [`Origin`](super::Origin).
pub(super) const ORIGIN: &[u8] = b"REMAP.origin";
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

/// The body of the extended header.
pub(super) fn extended(path: &Path, node: &Node, attributes: &Attributes) -> Vec<u8> {
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
    if let Some(origin) = attributes.origin {
        pax::push(&mut body, ORIGIN, origin.record().as_bytes());
    }
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
pub(super) fn timestamp(time: Timestamp) -> String {
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

/// The header block in front of an extended header of `size` bytes.
pub(super) fn extended_block(size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    set_name(&mut header, b"./PaxHeaders");
    header.set_size(size);
    header.set_cksum();
    header
}

/// The ustar header; `size` counts the data and the sparse map.
pub(super) fn main(
    path: &Path,
    node: &Node,
    attributes: &Attributes,
    size: u64,
) -> io::Result<Header> {
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
    header.set_device_major(major)?;
    header.set_device_minor(minor)?;
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

//! What a member's headers say, checked value by value.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use tar::{EntryType, Header};

use super::entry::{Attributes, PERMISSIONS, Timestamp, Xattrs};
use super::error::Flaw;
use super::headers::{ORIGIN, RESERVED, SOCKET, XATTR_PREFIX};
use super::origin::Origin;
use super::pax;
use crate::text::escape;

/// Longest path that the kernel takes, with its final NUL (PATH_MAX, limits.h).
const PATH_MAX: usize = 4096;
/// Longest name in a directory (NAME_MAX, limits.h).
const NAME_MAX: usize = 255;

/// What the extended header says.
#[derive(Default)]
pub(super) struct Fields<'a> {
    path: Option<&'a [u8]>,
    link: Option<&'a [u8]>,
    mtime: Option<Timestamp>,
    atime: Option<Timestamp>,
    /// Length of a sparse file.
    pub(super) real_size: Option<u64>,
    pub(super) reserved: bool,
    pub(super) socket: bool,
    origin: Option<Origin>,
    xattrs: Xattrs,
}

impl<'a> Fields<'a> {
    pub(super) fn new(records: &[pax::Record<'a>]) -> Result<Self, Flaw> {
        let mut fields = Self::default();
        let mut sparse_name = None;
        for (key, value) in records {
            match *key {
                b"path" => fields.path = Some(value),
                b"linkpath" => fields.link = Some(value),
                b"mtime" => fields.mtime = Some(timestamp(value).ok_or(Flaw::Number("mtime"))?),
                b"atime" => fields.atime = Some(timestamp(value).ok_or(Flaw::Number("atime"))?),
                b"GNU.sparse.major" if *value != b"1" => return Err(Flaw::Sparse),
                b"GNU.sparse.minor" if *value != b"0" => return Err(Flaw::Sparse),
                b"GNU.sparse.name" => sparse_name = Some(*value),
                b"GNU.sparse.realsize" => {
                    fields.real_size = Some(pax::number(value).ok_or(Flaw::Sparse)?);
                }
                b"size" => return Err(Flaw::Pax),
                RESERVED => fields.reserved = true,
                SOCKET => fields.socket = true,
                ORIGIN => {
                    fields.origin = Some(Origin::parse(value).ok_or(Flaw::Number("origin"))?);
                }
                other => {
                    if let Some(name) = other.strip_prefix(XATTR_PREFIX) {
                        fields.xattrs.push((xattr_name(name), value.to_vec()));
                    }
                }
            }
        }
        fields.path = sparse_name.or(fields.path);
        fields.xattrs.sort();
        Ok(fields)
    }

    pub(super) fn path(&self, header: &Header) -> Result<PathBuf, Flaw> {
        let name = self
            .path
            .map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec);
        if name == b"./" || name == b"." {
            return Ok(PathBuf::new());
        }
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        let is_directory = header.entry_type() == EntryType::Directory;
        match name.strip_suffix(b"/") {
            Some(name) if is_directory => checked_path(name),
            _ => checked_path(name),
        }
    }

    fn link_bytes(&self, header: &Header) -> Vec<u8> {
        self.link.map_or_else(
            || header.link_name_bytes().unwrap_or_default().into_owned(),
            <[u8]>::to_vec,
        )
    }

    pub(super) fn hard_link(&self, header: &Header) -> Result<PathBuf, Flaw> {
        checked_path(&self.link_bytes(header))
    }

    pub(super) fn symlink(&self, header: &Header) -> Result<OsString, Flaw> {
        let target = self.link_bytes(header);
        if target.is_empty() || target.contains(&0) || target.len() >= PATH_MAX {
            return Err(Flaw::Name(escape(OsStr::from_bytes(&target))));
        }
        Ok(OsString::from_vec(target))
    }

    /// Takes the attributes out; the extended attributes only once.
    pub(super) fn attributes(&mut self, header: &Header) -> Result<Attributes, Flaw> {
        let id = |value: io::Result<u64>, what| {
            value
                .ok()
                .and_then(|value| u32::try_from(value).ok())
                .ok_or(Flaw::Number(what))
        };
        let seconds = header.mtime().map_err(|_| Flaw::Number("mtime"))?;
        let plain = Timestamp {
            seconds: i64::try_from(seconds).map_err(|_| Flaw::Number("mtime"))?,
            nanoseconds: 0,
        };
        let mtime = self.mtime.unwrap_or(plain);
        Ok(Attributes {
            mode: header.mode().map_err(|_| Flaw::Number("mode"))? & PERMISSIONS,
            uid: id(header.uid(), "owner")?,
            gid: id(header.gid(), "group")?,
            mtime,
            atime: self.atime.unwrap_or(mtime),
            xattrs: std::mem::take(&mut self.xattrs),
            origin: self.origin,
        })
    }
}

/// A path that stays below the root by its form alone.
fn checked_path(name: &[u8]) -> Result<PathBuf, Flaw> {
    let good =
        |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && part.len() <= NAME_MAX;
    if name.len() < PATH_MAX && !name.contains(&0) && name.split(|byte| *byte == b'/').all(good) {
        Ok(PathBuf::from(OsStr::from_bytes(name)))
    } else {
        Err(Flaw::Name(escape(OsStr::from_bytes(name))))
    }
}

/// A device number that the header has to have.
pub(super) fn device(number: io::Result<Option<u32>>) -> Result<u32, Flaw> {
    match number {
        Ok(Some(number)) => Ok(number),
        _ => Err(Flaw::Number("device")),
    }
}

fn xattr_name(key: &[u8]) -> OsString {
    let mut name = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (rest.get(..3), rest.get(3..)) {
            (Some(b"%25"), Some(after)) => (b'%', after),
            (Some(b"%3D"), Some(after)) => (b'=', after),
            _ => (*first, after),
        };
        name.push(byte);
        rest = after;
    }
    OsString::from_vec(name)
}

/// A decimal fraction of seconds, as in the `mtime` record.
pub(super) fn timestamp(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(pax::number(parts.next()?)?).ok()?;
    let nanoseconds = match parts.next() {
        None => 0,
        Some(fraction) => {
            let mut digits = fraction.to_vec();
            digits.resize(9, b'0');
            u32::try_from(pax::number(&digits)?).ok()?
        }
    };
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Timestamp {
            seconds,
            nanoseconds,
        },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, nanoseconds) => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

//! Extended attributes of a pinned inode (xattr(7)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;

use super::entry::Xattrs;

/// Labels that a security module gives every inode by itself: kept as they are
/// where the archive has none, because they cannot be taken away.
const LABELS: [&[u8]; 4] = [
    b"security.selinux",
    b"security.SMACK64",
    b"security.ima",
    b"security.evm",
];

/// A failed change, with the attribute's name.
#[derive(Debug, thiserror::Error)]
#[error("extended attribute `{}`: {source}", name.display())]
struct XattrError {
    name: OsString,
    source: io::Error,
}

/// Whether a security module gives every inode this attribute.
pub(super) fn is_label(name: &OsStr) -> bool {
    LABELS.contains(&name.as_bytes())
}

/// All attributes that can be listed, sorted by name; none where the file system has none.
pub(super) fn read(path: &Path) -> io::Result<Xattrs> {
    let mut found = Vec::new();
    for name in names(path)? {
        if let Some(value) = xattr::get_deref(path, &name).map_err(|e| named(&name, e))? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// The same without those that a security module gives every inode.
pub(crate) fn read_own(path: &Path) -> io::Result<Xattrs> {
    let mut found = read(path)?;
    found.retain(|(name, _)| !is_label(name));
    Ok(found)
}

/// Makes the attributes exactly `wanted` (default ACLs leave others on new inodes).
///
/// After an error some are changed and others are not.
pub(crate) fn make(path: &Path, wanted: &[(OsString, Vec<u8>)]) -> io::Result<()> {
    for name in names(path)? {
        let keep = is_label(&name) || wanted.iter().any(|(w, _)| *w == name);
        if !keep {
            xattr::remove_deref(path, &name).map_err(|e| named(&name, e))?;
        }
    }
    for (name, value) in wanted {
        // A mount with a label of its own refuses changes, the same value included.
        if is_label(name) && xattr::get_deref(path, name).ok().flatten().as_ref() == Some(value) {
            continue;
        }
        xattr::set_deref(path, name, value).map_err(|e| named(name, e))?;
    }
    Ok(())
}

fn names(path: &Path) -> io::Result<Vec<OsString>> {
    match xattr::list_deref(path) {
        Ok(names) => {
            let mut names: Vec<_> = names.collect();
            names.sort();
            Ok(names)
        }
        Err(error) if is_unsupported(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(Errno::EOPNOTSUPP)
}

fn named(name: &OsStr, source: io::Error) -> io::Error {
    let kind = source.kind();
    io::Error::new(
        kind,
        XattrError {
            name: name.to_owned(),
            source,
        },
    )
}

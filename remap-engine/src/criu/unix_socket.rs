//! Changes the names of Unix sockets in the images (`files.img`, or `unixsk.img` of old CRIUs).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files::FILES;
use super::image::{self, Edit, Entries, ImageError, Magic, wire};

/// The image with Unix sockets, of CRIU before 3.4.
const OLD_UNIX_SOCKETS: &str = "unixsk.img";

/// The field of a `file_entry` with a `unix_sk_entry` (fdinfo.proto).
const UNIX_SOCKET: u32 = 16;

// Fields of a `unix_sk_entry` (sk-unix.proto).
const INODE: u32 = 2;
const NAME: u32 = 11;
const NAME_DIRECTORY: u32 = 14;
const DELETED: u32 = 15;

/// Binds each socket, by its inode, to another absolute path, which a restore is to leave there. All
/// else stays byte for byte. The image is replaced as a whole, readable by root only; it is not
/// synced. Returns the sockets that the image has.
///
/// # Errors
/// The image is damaged, or the new one cannot be written; the old one is there then.
pub fn rename(dir: &Path, names: &BTreeMap<u64, PathBuf>) -> Result<BTreeSet<u64>, ImageError> {
    let (path, magic) = match dir.join(FILES) {
        path if path.exists() => (path, Magic::Files),
        _ => (dir.join(OLD_UNIX_SOCKETS), Magic::UnixSockets),
    };
    let file = File::open(&path).map_err(|source| ImageError::Read {
        path: path.clone(),
        source,
    })?;
    let mut found = BTreeSet::new();
    let edit = |message: &[u8]| -> Result<Edit, wire::WireError> {
        let socket = match magic {
            Magic::UnixSockets => Some(message),
            _ => wire::bytes(message, UNIX_SOCKET)?,
        };
        let Some(socket) = socket else {
            return Ok(Edit::Keep);
        };
        let inode = wire::number(socket, INODE)?;
        let Some((inode, name)) = inode.and_then(|inode| names.get_key_value(&inode)) else {
            return Ok(Edit::Keep);
        };
        found.insert(*inode);
        let renamed = renamed(socket, name)?;
        Ok(Edit::Replace(match magic {
            Magic::UnixSockets => renamed,
            _ => wire::with_bytes(message, UNIX_SOCKET, &renamed)?,
        }))
    };
    image::replace(&path, |out| {
        let entries = Entries::new(&path, magic, BufReader::new(file))?;
        image::rewrite(entries, out, edit, std::iter::empty())
    })?;
    Ok(found)
}

/// The entry of a socket with its new name. The kernel counts the zero byte at its end as a part of
/// it (unix(7), "Pathname sockets"), and so does CRIU.
fn renamed(socket: &[u8], name: &Path) -> Result<Vec<u8>, wire::WireError> {
    let name = [name.as_os_str().as_bytes(), b"\0"].concat();
    let socket = wire::without(socket, &[NAME_DIRECTORY, DELETED])?;
    wire::with_bytes(&socket, NAME, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::image::{Format, put};

    /// With a field that nobody here knows.
    fn socket(inode: u64, name: &[u8]) -> Vec<u8> {
        let bytes = wire::with_numbers(&[], &[(1, 7), (INODE, inode)]).unwrap();
        let bytes = wire::with_bytes(&bytes, NAME, name).unwrap();
        wire::with_numbers(&bytes, &[(200, 3)]).unwrap()
    }

    fn image(magic: Magic, sockets: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Format::V1_1.header(magic);
        for socket in sockets {
            let message = match magic {
                Magic::Files => {
                    let entry = wire::with_numbers(&[], &[(1, 5), (2, 7)]).unwrap();
                    wire::with_bytes(&entry, UNIX_SOCKET, socket).unwrap()
                }
                _ => socket.clone(),
            };
            put(&mut bytes, &message).unwrap();
        }
        bytes
    }

    #[test]
    fn only_the_named_sockets_change_and_are_deleted_no_more() {
        for (file, magic) in [
            (FILES, Magic::Files),
            (OLD_UNIX_SOCKETS, Magic::UnixSockets),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(file);
            let gone = wire::with_bytes(&socket(5, b"s.tmp\0"), NAME_DIRECTORY, b"/run").unwrap();
            let gone = wire::with_numbers(&gone, &[(DELETED, 1), (17, 9)]).unwrap();
            let other = wire::with_numbers(&socket(6, b"/run/s.tmp\0"), &[(DELETED, 1)]).unwrap();
            std::fs::write(&path, image(magic, &[gone, other.clone()])).unwrap();
            let names = BTreeMap::from([(5, "/run/s".into()), (7, "/x".into())]);
            let found = rename(dir.path(), &names).unwrap();
            assert_eq!(found, BTreeSet::from([5]));
            let here = wire::with_numbers(&socket(5, b"/run/s\0"), &[(17, 9)]).unwrap();
            let expected = image(magic, &[here, other]);
            assert_eq!(std::fs::read(&path).unwrap(), expected);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_no_socket_stays_and_a_damaged_image_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILES);
        let mut bytes = Format::V1_1.header(Magic::Files);
        put(&mut bytes, &[0x08, 1, 0x10, 5]).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let names = BTreeMap::from([(5, "/run/s".into())]);
        assert_eq!(rename(dir.path(), &names).unwrap(), BTreeSet::new());
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        put(&mut bytes, &[0x82, 0x01, 9]).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        rename(dir.path(), &names).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

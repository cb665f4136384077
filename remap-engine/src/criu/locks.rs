//! POSIX locks in the images (`filelocks.img`).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::image::{self, ImageError, Magic};

const LOCKS: &str = "filelocks.img";

/// `FL_POSIX` of the kernel's linux/filelock.h, which CRIU writes as the kind.
const POSIX: u32 = 1;

/// A lock of fcntl(2) (`F_SETLK`), as CRIU restores it (`restore_file_lock`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PosixLock {
    /// The process that has it, by its number in the container.
    pub pid: i32,
    /// A descriptor of the file.
    pub fd: i32,
    /// `F_RDLCK` or `F_WRLCK`.
    pub kind: i16,
    /// The first byte.
    pub start: i64,
    /// How many bytes; 0 for all from the first one on.
    pub bytes: i64,
}

/// CRIU's `file_lock_entry`.
#[derive(Clone, PartialEq, prost::Message)]
struct FileLockEntry {
    #[prost(uint32, required, tag = "1")]
    flag: u32,
    #[prost(uint32, required, tag = "2")]
    r#type: u32,
    #[prost(int32, required, tag = "3")]
    pid: i32,
    #[prost(int32, required, tag = "4")]
    fd: i32,
    #[prost(int64, required, tag = "5")]
    start: i64,
    #[prost(int64, required, tag = "6")]
    len: i64,
}

/// The POSIX locks of a dump; there are none without the image.
///
/// # Errors
/// The image is damaged.
pub fn posix_locks(images: &Path) -> Result<Vec<PosixLock>, ImageError> {
    let path = images.join(LOCKS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let entries: Vec<FileLockEntry> = image::read(&path, Magic::FileLocks)?;
    let posix = entries.iter().filter(|entry| entry.flag & POSIX != 0);
    Ok(posix
        .map(|entry| PosixLock {
            pid: entry.pid,
            fd: entry.fd,
            kind: i16::try_from(entry.r#type).unwrap_or(-1),
            start: entry.start,
            bytes: entry.len,
        })
        .collect())
}

/// An image with one lock, for tests.
#[cfg(test)]
pub(crate) fn write(images: &Path, lock: &PosixLock) {
    tests::write(images, &[tests::entry(POSIX, lock)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::image::Format;
    use prost::Message;

    pub(super) fn entry(flag: u32, lock: &PosixLock) -> FileLockEntry {
        FileLockEntry {
            flag,
            r#type: u32::try_from(lock.kind).unwrap(),
            pid: lock.pid,
            fd: lock.fd,
            start: lock.start,
            len: lock.bytes,
        }
    }

    pub(super) fn write(images: &Path, entries: &[FileLockEntry]) {
        let mut bytes = Format::V1_1.header(Magic::FileLocks);
        for entry in entries {
            image::put(&mut bytes, &entry.encode_to_vec()).unwrap();
        }
        std::fs::write(images.join(LOCKS), bytes).unwrap();
    }

    #[test]
    fn only_those_of_posix_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(posix_locks(dir.path()).unwrap(), []);
        let lock = PosixLock {
            pid: 7,
            fd: 3,
            kind: 1,
            start: 128,
            bytes: 1,
        };
        write(dir.path(), &[entry(2, &lock), entry(POSIX, &lock)]);
        assert_eq!(posix_locks(dir.path()).unwrap(), [lock]);
        let whole = std::fs::read(dir.path().join(LOCKS)).unwrap();
        std::fs::write(dir.path().join(LOCKS), &whole[..20]).unwrap();
        assert!(posix_locks(dir.path()).is_err());
    }
}

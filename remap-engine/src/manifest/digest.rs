//! Sizes and SHA-256 digests of the files in a directory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Durability;
use super::ahead::Ahead;
use super::error::{Damage, DamagedFile, ManifestError};
use crate::parallel;
use crate::sys;
use crate::text::{escape, unescape};

/// Bytes read at once.
pub(super) const CHUNK: usize = 1 << 20;

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

/// The name of a file in the directory; `None` for text that names none.
pub(super) fn file_name(escaped: &str) -> Option<OsString> {
    let name = unescape(escaped)?;
    let bytes = name.as_bytes();
    let bad = bytes.is_empty() || bytes == b"." || bytes == b"..";
    (!bad && !bytes.contains(&b'/') && !bytes.contains(&0)).then_some(name)
}

/// Digests of the regular files whose (escaped) names are wanted, with what was begun `ahead`. The
/// kernel begins to send them to the disk, if they are to be there.
pub(super) fn directory(
    dir: &Path,
    ahead: &Ahead,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, FileDigest>, ManifestError> {
    let begun = ahead.end();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(ManifestError::io("list", dir))? {
        let entry = entry.map_err(ManifestError::io("list", dir))?;
        let name = escape(&entry.file_name());
        let metadata = entry
            .metadata()
            .map_err(ManifestError::io("stat", entry.path()))?;
        if metadata.is_file() && wanted(&name) {
            let done = begun.get(&entry.path()).map_or(0, |begun| begun.size);
            files.push((metadata.len().saturating_sub(done), name, entry.path()));
        }
    }
    // The most work first, so that the threads end at about the same time.
    files.sort_by(|a, b| b.cmp(a));
    let digests = parallel::map(&files, |(_, name, path)| {
        let digest = || {
            let file = open(path)?;
            if ahead.durability() == Durability::OnDisk {
                sys::start_writeback(&file, 0, 0);
            }
            let begun = match begun.get(path) {
                Some(begun) => begun.of(&file)?,
                None => None,
            };
            digest(&file, begun.unwrap_or_default())
        };
        match digest() {
            Ok(digest) => Ok((name.clone(), digest)),
            Err(source) => Err(ManifestError::io("read", path)(source)),
        }
    })?;
    Ok(digests.into_iter().collect())
}

/// Compares files with their digests, and gives those that differ.
pub(super) fn compare(
    dir: &Path,
    files: &BTreeMap<String, FileDigest>,
) -> Result<Vec<DamagedFile>, ManifestError> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|(_, digest)| std::cmp::Reverse(digest.size));
    let checked = parallel::map(&files, |(name, expected)| {
        let path = dir.join(file_name(name).unwrap_or_default());
        check(&path, expected)
            .map(|damage| {
                damage.map(|damage| DamagedFile {
                    name: (*name).clone(),
                    damage,
                })
            })
            .map_err(ManifestError::io("read", path))
    })?;
    let mut damaged: Vec<_> = checked.into_iter().flatten().collect();
    damaged.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(damaged)
}

fn check(path: &Path, expected: &FileDigest) -> io::Result<Option<Damage>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) => {
            return match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => Ok(Some(Damage::Missing)),
                Some(Errno::ELOOP | Errno::ENXIO) => Ok(Some(Damage::Type)),
                _ => Err(error),
            };
        }
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Some(Damage::Type));
    }
    let found = metadata.len();
    if found != expected.size {
        return Ok(Some(Damage::Size {
            found,
            expected: expected.size,
        }));
    }
    let digest = digest(&file, Default::default())?;
    Ok((digest != *expected).then_some(Damage::Contents))
}

/// Opens without following a link, and without waiting for a FIFO's writer.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
}

/// The digest of a file, of which that of the first bytes is known.
fn digest(mut file: &File, (mut hash, mut size): (Sha256, u64)) -> io::Result<FileDigest> {
    let mut chunk = vec![0; CHUNK];
    file.seek(SeekFrom::Start(size))?;
    loop {
        let count = match file.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
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
}

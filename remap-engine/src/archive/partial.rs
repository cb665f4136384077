//! A directory that is there as a whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::error::ArchiveError;

/// A directory that is removed again unless it is completed.
pub(super) struct Partial {
    path: PathBuf,
    /// Locked for as long as somebody writes there.
    _lock: File,
    is_complete: bool,
}

impl Partial {
    /// Makes `.NAME.partial`, and removes what a process that was killed has left there.
    pub(super) fn beside(destination: &Path) -> Result<Self, ArchiveError> {
        let path = partial_name(destination);
        if path.symlink_metadata().is_ok() {
            let lock = lock(&path)?;
            let removed = std::fs::remove_dir_all(&path);
            removed.map_err(ArchiveError::io("remove the old", &path))?;
            drop(lock);
        }
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(ArchiveError::io("make", &path))?;
        Ok(Self {
            _lock: lock(&path)?,
            path,
            is_complete: false,
        })
    }

    /// Where it is for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, on the disk, too.
    pub(super) fn complete(mut self, destination: &Path) -> Result<(), ArchiveError> {
        sync(&self.path)?;
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &self.path,
            rustix::fs::CWD,
            destination,
            rustix::fs::RenameFlags::NOREPLACE,
        )
        .map_err(|error| match error {
            rustix::io::Errno::EXIST => ArchiveError::Exists(destination.to_owned()),
            other => ArchiveError::io("make", destination)(other.into()),
        })?;
        self.is_complete = true;
        sync_parent(destination)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            tracing::error!(%path, %error, "cannot remove a partial archive; remove it by hand");
        }
    }
}

/// Name of what is not complete yet.
pub(super) fn partial_name(destination: &Path) -> PathBuf {
    let name = destination.file_name().unwrap_or(OsStr::new("archive"));
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    destination.with_file_name(partial)
}

fn lock(path: &Path) -> Result<File, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::io("open", path))?;
    file.try_lock().map_err(|error| {
        let in_use = io::Error::other("somebody is writing there");
        ArchiveError::io("lock", path)(match error {
            std::fs::TryLockError::Error(error) => error,
            std::fs::TryLockError::WouldBlock => in_use,
        })
    })?;
    Ok(file)
}

/// Has the name of a file or directory on the disk.
pub(super) fn sync_parent(path: &Path) -> Result<(), ArchiveError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}

fn sync(dir: &Path) -> Result<(), ArchiveError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(ArchiveError::io("sync", dir))
}

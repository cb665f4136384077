//! A directory on the host in which names are made.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Statx, StatxFlags, Uid};
use rustix::io::Errno;

use super::error::RelinkError;
use crate::carry::DirectoryFacts;
use crate::ghosts::{GhostAttributes, GhostDirectory};
use crate::mountinfo::Device;
use crate::process::device_of;

/// A directory, opened. Nothing leads out of it: no symbolic link below it is followed, and no other
/// mount entered.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    root: OwnedFd,
    stat: Statx,
}

impl Place {
    pub(super) fn open(path: &Path) -> Result<Self, RelinkError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(RelinkError::io("open", path))?;
        let stat = rustix::fs::statx(&root, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(RelinkError::io("stat", path))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            stat,
        })
    }

    /// Its `st_dev` and inode number.
    pub(super) fn identity(&self) -> (Device, u64) {
        (device_of(&self.stat), self.stat.stx_ino)
    }

    /// The inode behind a name; `None` if there is none on this file system.
    pub(super) fn inode(&self, path: &Path) -> Option<u64> {
        let (directory, name) = self.parent(path).ok()?;
        let stat = look(&directory, &name).ok()?;
        (device_of(&stat) == device_of(&self.stat)).then_some(stat.stx_ino)
    }

    /// Whether there is such a name.
    pub(super) fn is_there(&self, path: &Path) -> bool {
        let found = self.parent(path);
        found.is_ok_and(|(directory, name)| look(&directory, &name).is_ok())
    }

    /// The same for a name that is to be made; symbolic links and mounts in the way are errors.
    pub(super) fn is_taken(&self, path: &Path) -> Result<bool, RelinkError> {
        let found = self.parent(path);
        match found.and_then(|(directory, name)| look(&directory, &name)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(RelinkError::io("reach", self.path.join(path))(errno)),
        }
    }

    /// Whether a directory is not there.
    pub(super) fn is_missing(&self, path: &Path) -> Result<bool, RelinkError> {
        match self.directory(path, OFlags::PATH) {
            Ok(_) => Ok(false),
            Err(Errno::NOENT) => Ok(true),
            Err(errno) => Err(RelinkError::io("open", self.path.join(path))(errno)),
        }
    }

    /// Makes a directory; one that is there is left as it is.
    pub(super) fn make(&self, directory: &GhostDirectory) -> Result<(), RelinkError> {
        let DirectoryFacts { mode, uid, gid } = directory.facts;
        let make = || {
            let (parent, name) = self.parent(&directory.path)?;
            match rustix::fs::mkdirat(&parent, &name, Mode::RWXU) {
                Err(Errno::EXIST) => return Ok(()),
                made => made?,
            }
            let made = self.directory(&directory.path, OFlags::RDONLY)?;
            rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))
        };
        make().map_err(RelinkError::io("make", self.path.join(&directory.path)))
    }

    /// Removes a directory, unless it is gone or others have put something into it.
    pub(super) fn remove_empty(&self, path: &Path) -> Result<(), RelinkError> {
        let remove = || {
            let (parent, name) = self.parent(path)?;
            rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
        };
        match remove() {
            Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            removed => removed.map_err(RelinkError::io("remove", self.path.join(path))),
        }
    }

    /// Gives the inode at `from` the name `to`; one that it has already is no error.
    pub(super) fn link(&self, from: &Path, to: &Path, inode: u64) -> Result<(), RelinkError> {
        let whole = self.path.join(to);
        let link = || {
            let (old, old_name) = self.parent(from)?;
            let (new, new_name) = self.parent(to)?;
            rustix::fs::linkat(old, &old_name, new, &new_name, AtFlags::empty())
        };
        match link() {
            Err(Errno::EXIST) if self.inode(to) == Some(inode) => Ok(()),
            Err(Errno::EXIST) => Err(RelinkError::Taken(vec![whole])),
            result => result.map_err(RelinkError::io("make the name", whole)),
        }
    }

    /// Gives the inode at `path` what its image could not hold.
    pub(super) fn give(
        &self,
        path: &Path,
        attributes: &GhostAttributes,
    ) -> Result<(), RelinkError> {
        let give = || -> std::io::Result<()> {
            let (directory, name) = self.parent(path)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(directory, &name, flags, Mode::empty())?;
            attributes.give(file.as_fd())
        };
        give().map_err(RelinkError::io(
            "give times and attributes to",
            self.path.join(path),
        ))
    }

    /// Removes the names in a directory that lead to an inode; that for which `is_last` holds after
    /// the others, as the inode is found by it.
    pub(super) fn remove_names(
        &self,
        directory: &Path,
        inode: u64,
        is_last: impl Fn(&OsStr) -> bool,
    ) -> Result<(), RelinkError> {
        let whole = self.path.join(directory);
        let opened = match self.directory(directory, OFlags::RDONLY) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened.map_err(RelinkError::io("open", &whole))?,
        };
        let mut names = Vec::new();
        let entries = Dir::read_from(&opened).map_err(RelinkError::io("list", &whole))?;
        for entry in entries {
            let entry = entry.map_err(RelinkError::io("list", &whole))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if entry.ino() == inode && entry.file_type() != FileType::Directory {
                names.push(name.to_owned());
            }
        }
        names.sort_by_key(|name: &OsString| is_last(name));
        for name in names {
            let found = look(&opened, &name);
            let is_it =
                |stat: Statx| stat.stx_ino == inode && device_of(&stat) == device_of(&self.stat);
            if found.is_ok_and(is_it) {
                let path = whole.join(&name);
                rustix::fs::unlinkat(&opened, &name, AtFlags::empty())
                    .map_err(RelinkError::io("remove", path))?;
            }
        }
        Ok(())
    }

    fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent, OFlags::PATH)?, name))
    }

    fn directory(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stay = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), stay)
    }
}

fn look(directory: &OwnedFd, name: &OsStr) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS)
}

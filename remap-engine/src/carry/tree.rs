//! Access to what lies below one directory, and to nothing else.
//!
//! Every lookup is an openat2(2) from the root's descriptor that refuses
//! symbolic links, `..` beyond the root and other mounts, so neither a hostile
//! name nor a race with a rename leads outside. What was found is pinned by an
//! `O_PATH` descriptor; all else goes through `/proc/self/fd/N`, which names that
//! inode and no other (proc_pid_fd(5)), symbolic links included.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};

/// The directory below which everything happens.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The root's path, for messages only.
    place: PathBuf,
}

impl Tree {
    /// Opens the directory at `path`; symbolic links in `path` itself are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            root: open(path, flags, Mode::empty())?,
            place: path.to_owned(),
        })
    }

    /// The tree below an open directory; `place` is its path in messages.
    pub(super) fn below(root: BorrowedFd<'_>, place: PathBuf) -> io::Result<Self> {
        let tree = Self {
            root: root.try_clone_to_owned()?,
            place,
        };
        tree.directory(Path::new(""))?;
        Ok(tree)
    }

    /// Where `path` lies, for messages.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() {
            self.place.clone()
        } else {
            self.place.join(path)
        }
    }

    /// Pins the inode that `path` names; the root itself for an empty path.
    ///
    /// A symbolic link as last component is pinned itself; `EXDEV` tells that
    /// another mount is in the way, `ELOOP` a symbolic link on the way.
    pub(super) fn pin(&self, path: &Path) -> io::Result<Pinned> {
        self.lookup(path, OFlag::empty()).map(Pinned)
    }

    /// Opens the directory at `path` as a starting point for `*at` calls.
    pub(super) fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.lookup(path, OFlag::O_DIRECTORY)
    }

    /// Opens the directory that holds `path`, and gives the name in it.
    pub(super) fn parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::from(Errno::EINVAL))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent)?, name))
    }

    fn lookup(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | flags)
            .resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        Ok(openat2(&self.root, path, how)?)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// An inode held by an `O_PATH` descriptor: nothing was opened, no device woken.
#[derive(Debug)]
pub(super) struct Pinned(OwnedFd);

impl Pinned {
    /// Pins `name` in an open directory, without following a symbolic link.
    pub(super) fn at(directory: impl AsFd, name: &OsStr) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(directory, name, flags, Mode::empty())?;
        Ok(Self(fd))
    }

    pub(super) fn stat(&self) -> io::Result<FileStat> {
        Ok(fstat(&self.0)?)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// A path that names exactly this inode while the pin lives.
    pub(super) fn path(&self) -> PathBuf {
        fd_path(&self.0)
    }

    /// Where a symbolic link points.
    pub(super) fn link_target(&self) -> io::Result<OsString> {
        Ok(readlinkat(&self.0, "")?)
    }

    /// Opens a regular file for reading, without touching its access time.
    pub(super) fn open_file(&self) -> io::Result<File> {
        Ok(self.open_unread(OFlag::empty())?.into())
    }

    /// The names in a directory, sorted, without `.` and `..`.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut directory = Dir::from_fd(self.open_unread(OFlag::O_DIRECTORY)?)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// `O_NOATIME` is for the owner and CAP_FOWNER only (open(2)): without them
    /// the access time moves, which is no reason to fail.
    fn open_unread(&self, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let path = self.path();
        match open(&path, flags | OFlag::O_NOATIME, Mode::empty()) {
            Err(Errno::EPERM) => Ok(open(&path, flags, Mode::empty())?),
            other => Ok(other?),
        }
    }
}

/// The path in `/proc` that names what a descriptor refers to.
pub(super) fn fd_path(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

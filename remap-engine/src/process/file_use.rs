//! The files that a process holds, and how.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use serde::{Deserialize, Serialize};

use super::{Process, ProcessError, device_of};
use crate::mountinfo::Device;

/// How a process holds a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UseKind {
    /// An open file descriptor.
    Fd(u32),
    /// A mapping; start and end address.
    Mapping(u64, u64),
    /// The executable.
    Exe,
    /// The current working directory.
    Cwd,
    /// The root directory.
    Root,
}

impl UseKind {
    /// The name below `/proc/PID` of the kernel's link to the file.
    pub(super) fn link(&self) -> String {
        match self {
            Self::Fd(_) => format!("fd/{}", self.leaf()),
            Self::Mapping(..) => format!("map_files/{}", self.leaf()),
            Self::Exe | Self::Cwd | Self::Root => self.leaf(),
        }
    }

    /// The last part of that name.
    pub(super) fn leaf(&self) -> String {
        match self {
            Self::Fd(fd) => fd.to_string(),
            Self::Mapping(start, end) => format!("{start:x}-{end:x}"),
            Self::Exe | Self::Cwd | Self::Root => self.to_string(),
        }
    }
}

impl std::fmt::Display for UseKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fd(fd) => write!(f, "fd {fd}"),
            Self::Mapping(start, end) => write!(f, "mapping {start:x}-{end:x}"),
            Self::Exe => f.write_str("exe"),
            Self::Cwd => f.write_str("cwd"),
            Self::Root => f.write_str("root"),
        }
    }
}

/// One use of one file by one process, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUse {
    /// The process, in the pid namespace of the caller.
    pub pid: i32,
    /// How it holds the file.
    pub kind: UseKind,
    /// `st_dev`.
    pub device: Device,
    /// `st_ino`.
    pub inode: u64,
    /// The mount through which it was opened.
    pub mount_id: u64,
    /// Text of the kernel's link: a path, perhaps with ` (deleted)`, or `socket:[…]` and the like.
    pub name: OsString,
    /// Names of the inode.
    pub links: u32,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Allocated bytes (`st_blocks` × 512).
    pub allocated_bytes: u64,
    /// `st_mode`, with the file type.
    pub mode: u32,
}

impl FileUse {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }
}

impl Process {
    /// What it holds in this way, as an `O_PATH` descriptor: nothing is opened, no FIFO is woken.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn held_file(&self, kind: &UseKind) -> Result<OwnedFd, ProcessError> {
        let link = kind.link();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, &link, flags, Mode::empty())
            .map_err(|errno| self.error(&link, errno.into()))
    }

    /// Whether it has the file of this device and inode number (as stat(2) gives them) open.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn has_open(&self, wanted: (u64, u64)) -> Result<bool, ProcessError> {
        let is_wanted = |name: &OsString| {
            let path = Path::new("fd").join(name);
            let stat = rustix::fs::statat(&self.dir, path, AtFlags::empty());
            stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == wanted)
        };
        Ok(self.list("fd")?.iter().any(is_wanted))
    }

    /// Numbers of its open file descriptors.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn descriptors(&self) -> Result<Vec<u32>, ProcessError> {
        let names = self.list("fd")?;
        Ok(names
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect())
    }

    /// One use; `None` if it does not exist (any more).
    ///
    /// # Errors
    /// As [`Process::read`]; or the file system does not let root look (a FUSE of another user).
    pub(crate) fn file_use(&self, kind: UseKind) -> Result<Option<FileUse>, ProcessError> {
        self.look(&self.dir, &kind.link(), kind, None)
    }

    /// The same, by the name `link` in the directory `dir`; `name` is the text of the link, if it is
    /// known already.
    pub(super) fn look(
        &self,
        dir: &OwnedFd,
        link: &str,
        kind: UseKind,
        name: Option<OsString>,
    ) -> Result<Option<FileUse>, ProcessError> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let look = || {
            // In this order: a file that is unlinked in between, by a process that runs, is then one
            // without links and not one whose name is gone while others live.
            let name = match name {
                Some(name) => name,
                None => {
                    let name = rustix::fs::readlinkat(dir, link, Vec::new())?;
                    OsString::from_vec(name.into_bytes())
                }
            };
            let stat = rustix::fs::statx(dir, link, AtFlags::STATX_DONT_SYNC, wanted)?;
            rustix::io::Result::Ok((stat, name))
        };
        match look() {
            Ok((stat, name)) => Ok(Some(FileUse {
                pid: self.pid,
                kind,
                device: device_of(&stat),
                inode: stat.stx_ino,
                mount_id: stat.stx_mnt_id,
                name,
                links: stat.stx_nlink,
                size_bytes: stat.stx_size,
                allocated_bytes: stat.stx_blocks.saturating_mul(512),
                mode: u32::from(stat.stx_mode),
            })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error(&kind.link(), errno.into())),
        }
    }
}

/// Strips the suffix ` (deleted)` with which the kernel marks an unhashed name (`d_path`).
///
/// A real name can end like that: only together with the link count and a look at the name does
/// it mean anything.
#[must_use]
pub fn strip_deleted(name: &std::ffi::OsStr) -> Option<&std::ffi::OsStr> {
    let stripped = name.as_bytes().strip_suffix(b" (deleted)")?;
    Some(std::ffi::OsStr::from_bytes(stripped))
}

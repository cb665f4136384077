//! What an entry of a tree is: its kind, its contents' layout, its attributes.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::sys::stat::{FileStat, SFlag};

use super::origin::Origin;

/// Permission bits of a mode, with set-user-ID, set-group-ID and sticky (inode(7)).
pub(super) const PERMISSIONS: u32 = 0o7777;

/// A point in time as the kernel keeps it for inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// Seconds since the epoch; negative before it.
    pub(super) seconds: i64,
    /// Nanoseconds within the second, below 1 000 000 000.
    pub(super) nanoseconds: u32,
}

/// Names and values of extended attributes.
pub(super) type Xattrs = Vec<(OsString, Vec<u8>)>;

/// What an inode has besides its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Permission bits, set-ID and sticky bits (no file type).
    pub(super) mode: u32,
    /// Numeric owner.
    pub(super) uid: u32,
    /// Numeric group.
    pub(super) gid: u32,
    /// Last modification.
    pub(super) mtime: Timestamp,
    /// Last access.
    pub(super) atime: Timestamp,
    /// Extended attributes, sorted by name (POSIX ACLs are among them).
    pub(super) xattrs: Xattrs,
    /// Which inode it is or was, if that is noted.
    pub(super) origin: Option<Origin>,
}

impl Attributes {
    /// Takes the attributes from a stat and the extended attributes beside it.
    pub(super) fn of(stat: &FileStat, xattrs: Xattrs) -> Self {
        let nanoseconds = |value: i64| u32::try_from(value).unwrap_or(0);
        Self {
            mode: stat.st_mode & PERMISSIONS,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Timestamp {
                seconds: stat.st_mtime,
                nanoseconds: nanoseconds(stat.st_mtime_nsec),
            },
            atime: Timestamp {
                seconds: stat.st_atime,
                nanoseconds: nanoseconds(stat.st_atime_nsec),
            },
            xattrs,
            origin: None,
        }
    }
}

/// What kind of inode a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A bound Unix socket.
    Socket,
}

impl Kind {
    /// The kind that `st_mode` names; `None` for a type that Linux does not have.
    pub(super) fn of(stat: &FileStat) -> Option<Self> {
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR => Some(Self::Directory),
            SFlag::S_IFREG => Some(Self::Regular),
            SFlag::S_IFLNK => Some(Self::Symlink),
            SFlag::S_IFIFO => Some(Self::Fifo),
            SFlag::S_IFCHR => Some(Self::CharDevice),
            SFlag::S_IFBLK => Some(Self::BlockDevice),
            SFlag::S_IFSOCK => Some(Self::Socket),
            _ => None,
        }
    }
}

/// A run of bytes of a file that holds data; what lies between runs is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// First byte.
    pub(super) offset: u64,
    /// Number of bytes.
    pub(super) length: u64,
}

/// What a member of an archive makes when it is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A directory.
    Directory,
    /// A regular file with its data.
    Regular {
        /// Length in bytes, holes included.
        size: u64,
        /// The runs that hold data, in order, not overlapping.
        extents: Vec<Extent>,
        /// Storage is reserved for the holes too, as after posix_fallocate(3).
        reserved: bool,
    },
    /// A symbolic link to this target.
    Symlink(OsString),
    /// A named pipe.
    Fifo,
    /// A character or block device.
    Device {
        /// A block device, else a character device.
        block: bool,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket's name without the socket: nothing listens on it.
    Socket,
    /// One more name of an earlier member's inode.
    HardLink(PathBuf),
}

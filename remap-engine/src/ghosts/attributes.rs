//! What a ghost image cannot hold of a file: it has no extended attributes, and times to the
//! microsecond only (CRIU `ghost_file_entry`).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use crate::carry;

/// To be given to a ghost while it has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GhostAttributes {
    /// Extended attributes, ACLs among them; labels of security modules are the target's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<GhostXattr>,
    /// When it was last read.
    pub accessed: GhostTime,
    /// When it was last written.
    pub modified: GhostTime,
}

/// An extended attribute, as text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GhostXattr {
    /// Its name.
    #[serde(with = "crate::text")]
    pub name: OsString,
    /// Its value.
    #[serde(with = "crate::text")]
    pub value: OsString,
}

/// A time since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GhostTime {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

impl GhostAttributes {
    /// Those of a file (an `O_PATH` descriptor suffices).
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = rustix::fs::statx(
            file,
            "",
            AtFlags::EMPTY_PATH,
            rustix::fs::StatxFlags::BASIC_STATS,
        )?;
        let time = |time: rustix::fs::StatxTimestamp| GhostTime {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        let xattrs = carry::read_xattrs(&path_of(file))?.into_iter();
        let xattrs = xattrs.map(|(name, value)| GhostXattr {
            name,
            value: OsString::from_vec(value),
        });
        Ok(Self {
            xattrs: xattrs.collect(),
            accessed: time(stat.stx_atime),
            modified: time(stat.stx_mtime),
        })
    }

    /// Gives them to a file (an `O_PATH` descriptor suffices).
    ///
    /// # Errors
    /// The file system does not take one of them.
    pub(crate) fn give(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let path = path_of(file);
        let xattrs = self.xattrs.iter();
        let xattrs: Vec<(OsString, Vec<u8>)> = xattrs
            .map(|one| (one.name.clone(), one.value.as_bytes().to_vec()))
            .collect();
        carry::make_xattrs(&path, &xattrs)?;
        let times = Timestamps {
            last_access: self.accessed.timespec(),
            last_modification: self.modified.timespec(),
        };
        Ok(rustix::fs::utimensat(
            rustix::fs::CWD,
            &path,
            &times,
            AtFlags::empty(),
        )?)
    }
}

impl GhostTime {
    fn timespec(self) -> Timespec {
        Timespec {
            tv_sec: self.seconds,
            tv_nsec: self.nanoseconds.into(),
        }
    }
}

/// Names what the descriptor stands for, and nothing else (proc_pid_fd(5)).
fn path_of(file: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_a_file_had_another_gets() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let pin = |path| {
            std::fs::write(path, b"x").unwrap();
            rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap()
        };
        let (from_fd, to_fd) = (pin(&from), pin(&to));
        xattr::set(&from, "trusted.remap-test", b"\xff\\value").unwrap();
        xattr::set(&to, "trusted.remap-other", b"of the target").unwrap();
        let attributes = GhostAttributes::of(from_fd.as_fd()).unwrap();
        assert_eq!(attributes.xattrs.len(), 1);
        let json = serde_json::to_string(&attributes).unwrap();
        let attributes: GhostAttributes = serde_json::from_str(&json).unwrap();
        attributes.give(to_fd.as_fd()).unwrap();
        assert_eq!(GhostAttributes::of(to_fd.as_fd()).unwrap(), attributes);
    }
}

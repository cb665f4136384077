//! More about single descriptors: what stands behind a device node, what the kernel says of a
//! descriptor, and the socket itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{Process, ProcessError, UseKind};
use crate::mountinfo::Device;

impl Process {
    /// The device for which the node stands that is held by `kind` (`st_rdev`); `None` if it is
    /// not held any more.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn device_node(&self, kind: &UseKind) -> Result<Option<Device>, ProcessError> {
        let link = kind.link();
        let flags = AtFlags::STATX_DONT_SYNC;
        match rustix::fs::statx(&self.dir, &link, flags, StatxFlags::TYPE) {
            Ok(stat) => Ok(Some(Device {
                major: stat.stx_rdev_major,
                minor: stat.stx_rdev_minor,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error(&link, errno.into())),
        }
    }

    /// What the kernel says about a descriptor (proc_pid_fdinfo(5)); `None` if it is closed.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn fdinfo(&self, fd: u32) -> Result<Option<Vec<u8>>, ProcessError> {
        match self.read(&format!("fdinfo/{fd}")) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many descriptors it has; `None` if the kernel does not count them: before Linux 6.2 the
    /// size of this directory was 0 (proc_pid_fd(5)).
    pub(crate) fn descriptor_count(&self) -> Option<u64> {
        let stat = rustix::fs::statx(&self.dir, "fd", AtFlags::empty(), StatxFlags::SIZE).ok()?;
        (stat.stx_size > 0).then_some(stat.stx_size)
    }

    /// A pidfd of it, to duplicate its descriptors with.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn pidfd(&self) -> Result<OwnedFd, ProcessError> {
        let open = || {
            let pid = Pid::from_raw(self.pid).ok_or(Errno::SRCH)?;
            pidfd_open(pid, PidfdFlags::empty())
        };
        let pidfd = open().map_err(|errno| self.error("pidfd", errno.into()))?;
        // If it still answers by its pinned directory, its number was not given to another.
        self.read("stat")?;
        Ok(pidfd)
    }

    /// The numbers of its threads.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn thread_ids(&self) -> Result<Vec<i32>, ProcessError> {
        let names = self.list("task")?;
        Ok(names
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect())
    }
}

/// A descriptor of the process of `pidfd` as one of our own, for questions that only the
/// descriptor itself answers (pidfd_getfd(2)).
///
/// # Errors
/// It is closed, or the kernel does not allow it.
pub(crate) fn duplicate(pidfd: impl AsFd, fd: u32) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
    Ok(pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty())?)
}

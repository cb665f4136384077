//! A process pinned by its `/proc/PID` directory, and the files that it uses.
//!
//! Everything is read relative to the pinned directory: once the process is gone its directory
//! answers `ESRCH`, so a reused pid is never mistaken for it (proc_pid(5)).

mod descriptor;
mod file_use;
mod file_uses;
mod id_map;
mod maps;
mod running;
mod status;
mod view;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::retry_on_intr;

use crate::mountinfo::{self, Device, MountEntry};

pub(crate) use self::descriptor::duplicate;
pub use self::file_use::{FileUse, UseKind, strip_deleted};
pub(crate) use self::file_uses::SoleMounts;
pub use self::id_map::IdMap;
pub use self::maps::{Mapping, mapped_files, mappings};
pub(crate) use self::running::running_tree;
pub(crate) use self::status::Status;

/// What the kernel gives at most of a file of lines with one read(2), `seq_read` of fs/seq_file.c.
const PAGE_BYTES: usize = 4096;

/// Reading `/proc` failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} of process {pid}")]
pub struct ProcessError {
    /// The process.
    pub pid: i32,
    /// The file below `/proc/PID`.
    pub what: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl ProcessError {
    /// Whether it failed because the process has ended, or is about to (`ESRCH`), or what was to be
    /// read has vanished.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let gone = [rustix::io::Errno::SRCH, rustix::io::Errno::NOENT];
        rustix::io::Errno::from_io_error(&self.source).is_some_and(|errno| gone.contains(&errno))
    }
}

/// A process, pinned.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    dir: OwnedFd,
}

impl Process {
    /// Pins process `pid`.
    ///
    /// # Errors
    /// There is no such process.
    pub fn pin(pid: i32) -> Result<Self, ProcessError> {
        let dir = rustix::fs::open(
            format!("/proc/{pid}"),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| ProcessError {
            pid,
            what: format!("/proc/{pid}"),
            source: errno.into(),
        })?;
        Ok(Self { pid, dir })
    }

    /// The same process, for somebody else to look at.
    ///
    /// # Errors
    /// There are too many open files.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            pid: self.pid,
            dir: self.dir.try_clone()?,
        })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Reads a file below `/proc/PID` whole.
    ///
    /// # Errors
    /// The process is gone (`ESRCH`), or the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ProcessError> {
        let file = self.open(name)?;
        let mut bytes = Vec::new();
        loop {
            // Not `read_to_end`, which asks for a size that these files do not have, and makes twice
            // as many calls for one that fits into a page.
            bytes.reserve(PAGE_BYTES);
            let read = retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)));
            if read.map_err(|errno| self.error(name, errno.into()))? == 0 {
                return Ok(bytes);
            }
        }
    }

    /// Opens a file below `/proc/PID`.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn open(&self, name: &str) -> Result<OwnedFd, ProcessError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Mode::empty())
            .map_err(|errno| self.error(name, errno.into()))
    }

    /// The text of a link below `/proc/PID`.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn link(&self, name: &str) -> Result<OsString, ProcessError> {
        rustix::fs::readlinkat(&self.dir, name, Vec::new())
            .map(|text| OsString::from_vec(text.into_bytes()))
            .map_err(|errno| self.error(name, errno.into()))
    }

    /// The mounts that it sees.
    ///
    /// # Errors
    /// As [`Process::read`]; a line that does not parse is `InvalidData`.
    pub fn mounts(&self) -> Result<Vec<MountEntry>, ProcessError> {
        mountinfo::parse(&self.read("mountinfo")?).map_err(|error| {
            self.error(
                "mountinfo",
                io::Error::new(io::ErrorKind::InvalidData, error),
            )
        })
    }

    /// The command name (`comm`), for messages.
    #[must_use]
    pub fn command(&self) -> String {
        let name = self.read("comm").unwrap_or_default();
        String::from_utf8_lossy(name.trim_ascii_end()).into_owned()
    }

    /// Whether it has ended: it is gone, or a zombie that waits for its parent (proc_pid_stat(5)).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let Ok(stat) = self.read("stat") else {
            return true;
        };
        // The state follows the command name, which is in parentheses and may hold any byte.
        let state = stat.rsplit(|byte| *byte == b')').next();
        let state = state.unwrap_or_default().trim_ascii_start().first();
        matches!(state, Some(b'Z' | b'X') | None)
    }

    /// Its parent, the fourth field of `/proc/PID/stat` (proc_pid_stat(5)).
    #[must_use]
    pub fn parent(&self) -> Option<i32> {
        let stat = self.read("stat").ok()?;
        let fields = stat.rsplit(|byte| *byte == b')').next()?;
        let fields = std::str::from_utf8(fields).ok()?;
        fields.split_whitespace().nth(1)?.parse().ok()
    }

    /// Its children, of all its threads.
    ///
    /// # Errors
    /// As [`Process::read`]. Needs `CONFIG_PROC_CHILDREN`, as CRIU itself does.
    pub fn children(&self) -> Result<Vec<i32>, ProcessError> {
        let mut children = Vec::new();
        for thread in self.list("task")? {
            let text = self.read(&format!("task/{}/children", thread.to_string_lossy()))?;
            children.extend(pids(&text));
        }
        Ok(children)
    }

    /// Its threads, each pinned as a process of its own. One whose first thread has ended shows
    /// its files only there (proc_pid_task(5)).
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn threads(&self) -> Result<Vec<Self>, ProcessError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let pin = |name: &OsString| {
            let dir = rustix::fs::openat(
                &self.dir,
                Path::new("task").join(name),
                flags,
                Mode::empty(),
            );
            // A thread may end at any time.
            dir.ok().map(|dir| Self { pid: self.pid, dir })
        };
        Ok(self.list("task")?.iter().filter_map(pin).collect())
    }

    /// The names in a directory below `/proc/PID`.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn list(&self, name: &str) -> Result<Vec<OsString>, ProcessError> {
        let list = || -> io::Result<Vec<OsString>> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&self.dir, name, flags, Mode::empty())?;
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(fd)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name.first() != Some(&b'.') {
                    names.push(OsString::from_vec(name));
                }
            }
            Ok(names)
        };
        list().map_err(|source| self.error(name, source))
    }

    fn error(&self, what: &str, source: io::Error) -> ProcessError {
        ProcessError {
            pid: self.pid,
            what: what.to_owned(),
            source,
        }
    }
}

/// The device of memory files (memfd, shared anonymous memory): an instance of tmpfs that the
/// kernel mounts for itself and that no mountinfo shows (memfd_create(2)).
///
/// # Errors
/// No memfd can be made.
pub fn memfd_device() -> io::Result<Device> {
    let fd = rustix::fs::memfd_create("remap-probe", rustix::fs::MemfdFlags::CLOEXEC)?;
    let stat = rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    Ok(device_of(&stat))
}

/// The numbers in a `children` file (proc_pid_task(5)).
fn pids(text: &[u8]) -> impl Iterator<Item = i32> {
    let words = text.split(u8::is_ascii_whitespace);
    words.filter_map(|pid| std::str::from_utf8(pid).ok()?.parse().ok())
}

/// `st_dev`.
pub(crate) fn device_of(stat: &Statx) -> Device {
    Device {
        major: stat.stx_dev_major,
        minor: stat.stx_dev_minor,
    }
}

/// `init` and all its descendants, parents before children.
///
/// # Errors
/// A process ended meanwhile: they are expected to be frozen.
pub fn process_tree(init: i32) -> Result<Vec<Process>, ProcessError> {
    let mut tree = vec![Process::pin(init)?];
    let mut next = 0;
    while let Some(process) = tree.get(next) {
        let children = process.children()?;
        for child in children {
            tree.push(Process::pin(child)?);
        }
        next += 1;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests;

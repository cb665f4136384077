//! A process pinned by its `/proc/PID` directory, and the files that it uses.
//!
//! Everything is read relative to the pinned directory: once the process is gone its directory
//! answers `ESRCH`, so a reused pid is never mistaken for it (proc_pid(5)).

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags,
};
use serde::{Deserialize, Serialize};

use crate::mountinfo::{self, Device, MountEntry};
use crate::mountmap::View;

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
    fn link(&self) -> PathBuf {
        match self {
            Self::Fd(fd) => format!("fd/{fd}").into(),
            Self::Mapping(start, end) => format!("map_files/{start:x}-{end:x}").into(),
            Self::Exe => "exe".into(),
            Self::Cwd => "cwd".into(),
            Self::Root => "root".into(),
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
        let mut bytes = Vec::new();
        std::fs::File::from(self.open(name)?)
            .read_to_end(&mut bytes)
            .map_err(|source| self.error(name, source))?;
        Ok(bytes)
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

    /// Its children, of all its threads.
    ///
    /// # Errors
    /// As [`Process::read`]. Needs `CONFIG_PROC_CHILDREN`, as CRIU itself does.
    pub fn children(&self) -> Result<Vec<i32>, ProcessError> {
        let mut children = Vec::new();
        for thread in self.list("task")? {
            let text = self.read(&format!("task/{}/children", thread.to_string_lossy()))?;
            let pids = text.split(u8::is_ascii_whitespace);
            children
                .extend(pids.filter_map(|pid| std::str::from_utf8(pid).ok()?.parse::<i32>().ok()));
        }
        Ok(children)
    }

    /// Every file that it uses: descriptors, file mappings, executable, working and root directory.
    ///
    /// Descriptors and mappings that vanish while they are listed are left out: of a frozen
    /// process none can. Files are looked at with `AT_STATX_DONT_SYNC`, so that a file on a FUSE
    /// file system whose server is frozen with the container does not block (statx(2)).
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn file_uses(&self) -> Result<Vec<FileUse>, ProcessError> {
        let mut uses = Vec::new();
        for fd in self.descriptors()? {
            uses.extend(self.file_use(UseKind::Fd(fd))?);
        }
        for mapping in mapped_files(&self.read("maps")?) {
            let (start, end) = mapping.range;
            uses.extend(self.file_use(UseKind::Mapping(start, end))?);
        }
        for kind in [UseKind::Exe, UseKind::Cwd, UseKind::Root] {
            uses.extend(self.file_use(kind)?);
        }
        Ok(uses)
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
        let link = kind.link();
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let look = || {
            let stat = rustix::fs::statx(&self.dir, &link, AtFlags::STATX_DONT_SYNC, wanted)?;
            let name = rustix::fs::readlinkat(&self.dir, &link, Vec::new())?;
            rustix::io::Result::Ok((stat, name))
        };
        match look() {
            Ok((stat, name)) => Ok(Some(FileUse {
                pid: self.pid,
                kind,
                device: device_of(&stat),
                inode: stat.stx_ino,
                mount_id: stat.stx_mnt_id,
                name: OsString::from_vec(name.into_bytes()),
                links: stat.stx_nlink,
                size_bytes: stat.stx_size,
                allocated_bytes: stat.stx_blocks.saturating_mul(512),
                mode: u32::from(stat.stx_mode),
            })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error(&link.to_string_lossy(), errno.into())),
        }
    }

    /// Opens the directory `path` as the process sees it; never leaves its root.
    ///
    /// # Errors
    /// `path` does not exist there or is no directory.
    pub fn open_dir(&self, path: &Path) -> Result<OwnedFd, ProcessError> {
        let open = || -> rustix::io::Result<OwnedFd> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::openat(&self.dir, "root", flags, Mode::empty())?;
            rustix::fs::openat2(
                root,
                path,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            )
        };
        open().map_err(|errno| self.error(&format!("root{}", path.display()), errno.into()))
    }

    /// Device and inode of the file at `path` as the process sees it, not following a symbolic
    /// link at its end; `None` if there is none.
    #[must_use]
    pub fn identity(&self, path: &Path) -> Option<(Device, u64)> {
        let stat = self.look_at(path, OFlags::NOFOLLOW)?;
        Some((device_of(&stat), stat.stx_ino))
    }

    /// What is at `path` as the process sees it.
    fn look_at(&self, path: &Path, flags: OFlags) -> Option<Statx> {
        let root = rustix::fs::openat(
            &self.dir,
            "root",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let file = rustix::fs::openat2(
            root.ok()?,
            path,
            OFlags::PATH | OFlags::CLOEXEC | flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        );
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        rustix::fs::statx(file.ok()?, "", flags, wanted).ok()
    }

    fn list(&self, name: &str) -> Result<Vec<OsString>, ProcessError> {
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

/// `st_dev`.
pub(crate) fn device_of(stat: &Statx) -> Device {
    Device {
        major: stat.stx_dev_major,
        minor: stat.stx_dev_minor,
    }
}

impl View for Process {
    fn mount_at(&self, path: &Path) -> Option<u64> {
        let stat = self.look_at(path, OFlags::empty())?;
        let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        is_root.then_some(stat.stx_mnt_id)
    }

    fn is_directory(&self, path: &Path) -> bool {
        let stat = self.look_at(path, OFlags::empty());
        stat.is_some_and(|stat| {
            FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory
        })
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

/// A line of `/proc/PID/maps` that maps a file (inode other than 0), proc_pid_maps(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First address, and the one after the last.
    pub(crate) range: (u64, u64),
    /// Device of the file system; for some (overlay, btrfs) not the `st_dev` of the file.
    pub(crate) device: Device,
    /// Inode number.
    pub(crate) inode: u64,
    /// The name as the kernel shows it.
    pub(crate) name: Vec<u8>,
}

pub(crate) fn mapped_files(maps: &[u8]) -> Vec<Mapping> {
    let lines = maps.split(|byte| *byte == b'\n');
    lines.filter_map(mapped_file).collect()
}

fn mapped_file(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = text()?.split_once('-')?;
    let (_permissions, _offset) = (text()?, text()?);
    let (major, minor) = text()?.split_once(':')?;
    let inode = text()?.parse().ok().filter(|inode| *inode != 0)?;
    let hex = |digits| u32::from_str_radix(digits, 16).ok();
    Some(Mapping {
        range: (
            u64::from_str_radix(start, 16).ok()?,
            u64::from_str_radix(end, 16).ok()?,
        ),
        device: Device {
            major: hex(major)?,
            minor: hex(minor)?,
        },
        inode,
        name: fields
            .next()
            .unwrap_or_default()
            .trim_ascii_start()
            .to_vec(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_are_found_with_inode_and_mount() {
        let mut file = tempfile::tempfile_in("/dev/shm").unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file).unsigned_abs();
        let uses = own.file_uses().unwrap();
        let found = uses.iter().find(|one| one.kind == UseKind::Fd(fd)).unwrap();
        assert_eq!((found.links, found.size_bytes), (0, 3));
        assert!(strip_deleted(&found.name).is_some());
        assert!(
            own.mounts()
                .unwrap()
                .iter()
                .any(|mount| mount.id == found.mount_id)
        );
        assert!(uses.iter().any(|one| one.kind == UseKind::Exe));
        assert!(
            uses.iter()
                .any(|one| matches!(one.kind, UseKind::Mapping(..)))
        );
    }

    #[test]
    fn a_memfd_lies_on_the_memfd_device_and_a_real_file_of_that_name_does_not() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let real = std::fs::File::create(dir.path().join("memfd:x (deleted)")).unwrap();
        let memfd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let device_of = |fd: i32| {
            let kind = UseKind::Fd(fd.unsigned_abs());
            own.file_use(kind).unwrap().unwrap().device
        };
        let memory = memfd_device().unwrap();
        assert_eq!(device_of(std::os::fd::AsRawFd::as_raw_fd(&memfd)), memory);
        assert_ne!(device_of(std::os::fd::AsRawFd::as_raw_fd(&real)), memory);
    }

    #[test]
    fn a_tree_holds_the_children() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let tree = process_tree(own).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pinned = Process::pin(pid).unwrap();
        assert!(!pinned.has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(pinned.has_ended());
        assert!(tree.iter().any(|process| process.pid() == pid));
    }

    #[test]
    fn maps_without_a_file_are_left_out() {
        let maps = b"7f00-7f10 rw-s 00000000 00:1a 77      /dev/shm/a b\n8000-9000 rw-p 00000000 00:00 0 [heap]\n";
        let expected = Mapping {
            range: (0x7f00, 0x7f10),
            device: Device {
                major: 0,
                minor: 0x1a,
            },
            inode: 77,
            name: b"/dev/shm/a b".to_vec(),
        };
        assert_eq!(mapped_files(maps), vec![expected]);
    }
}

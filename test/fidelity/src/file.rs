//! Files: making them, and what there is to know about one.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rustix::fs::{SeekFrom, seek};

use crate::watch::{Inode, Watch};

/// The beginning of a file that its users change all the time.
pub(crate) const LIVE_BYTES: u64 = 4096;

const BLOCK: usize = 4096;

/// Of files whose time shall stay: CRIU keeps that of a nameless one in microseconds.
const TIME: (i64, i64) = (1_600_000_000, 123_456_000);

/// What may change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing.
    Still,
    /// Its first bytes ([`LIVE_BYTES`]) and its time.
    Live,
    /// The number of its links: an overlay goes on counting one for a file of a lower layer that is
    /// deleted.
    Uncounted,
}

/// Has something for as long as this process lives.
pub(crate) fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// `size` bytes that look random and are the same wherever `seed` is.
pub(crate) fn pattern(seed: &str, size: usize) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    hasher.write(seed.as_bytes());
    let mut state = hasher.finish() | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A new file with these contents, open for reading and writing, with a time of its own.
pub(crate) fn create(path: impl AsRef<Path>, contents: &[u8]) -> Result<&'static File> {
    let path = path.as_ref();
    let make = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let mut file = options.open(path)?;
        file.write_all(contents)?;
        file.set_permissions(Permissions::from_mode(0o640))?;
        Ok::<_, std::io::Error>(file)
    };
    let file = make().with_context(|| format!("cannot make {}", path.display()))?;
    set_time(&file)?;
    Ok(keep(file))
}

/// Gives a file a time that could not come by chance.
pub(crate) fn set_time(file: impl AsFd) -> Result<()> {
    set_times(file, TIME)
}

/// Gives a file a time, in seconds and nanoseconds.
pub(crate) fn set_times(file: impl AsFd, (tv_sec, tv_nsec): (i64, i64)) -> Result<()> {
    let time = rustix::fs::Timespec { tv_sec, tv_nsec };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::futimens(file, &times).context("cannot set a time")
}

/// Opens an existing file for reading and writing.
pub(crate) fn open(path: impl AsRef<Path>) -> Result<&'static File> {
    open_as(path, OFlag::O_RDWR)
}

/// Opens it with other flags of open(2).
pub(crate) fn open_as(path: impl AsRef<Path>, flags: OFlag) -> Result<&'static File> {
    let path = path.as_ref();
    let fd: OwnedFd = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())
        .with_context(|| format!("cannot open {}", path.display()))?;
    Ok(keep(File::from(fd)))
}

/// Watches an open file: what it is, how it is open, what is in it.
pub(crate) fn watch_open(watch: &mut Watch, label: &str, file: &'static File, life: Life) {
    watch_described(watch, label, file, life, description);
}

/// As [`watch_open`], of a file that gets its names only after it has been opened again: the kernel
/// goes on showing that of the descriptor as deleted.
pub(crate) fn watch_relinked(watch: &mut Watch, label: &str, file: &'static File) {
    let describe = |fd: BorrowedFd<'_>| Ok(description(fd)?.replacen(" (deleted)", "", 1));
    watch_described(watch, label, file, Life::Still, describe);
}

fn watch_described(
    watch: &mut Watch,
    label: &str,
    file: &'static File,
    life: Life,
    describe: fn(BorrowedFd<'_>) -> Result<String>,
) {
    let facts = move || facts(file.as_fd(), life);
    watch.fact(&format!("the open file {label}"), facts);
    let description = move || describe(file.as_fd());
    watch.fact(&format!("the descriptor {label}"), description);
    watch.inode(label, move || inode(file.as_fd()));
}

/// Watches a name: what it leads to, without following it if it is a symbolic link.
pub(crate) fn watch_name(watch: &mut Watch, path: impl Into<PathBuf>, life: Life) {
    let path: &'static PathBuf = keep(path.into());
    let what = path.display().to_string();
    watch.fact(&what, move || name_facts(path, life));
    watch.inode(&what, move || {
        let metadata = path.symlink_metadata()?;
        Ok(Inode(metadata.dev(), metadata.ino()))
    });
}

/// Watches that there is nothing of that name.
pub(crate) fn watch_absence(watch: &mut Watch, path: impl Into<PathBuf>) {
    let path = path.into();
    watch.fact(&format!("{} (gone)", path.display()), move || {
        Ok(match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => "gone".to_owned(),
            other => format!("{other:?}"),
        })
    });
}

/// Watches the names in a directory.
pub(crate) fn watch_list(watch: &mut Watch, dir: impl Into<PathBuf>) {
    let dir = dir.into();
    watch.fact(&format!("the list of {}", dir.display()), move || {
        let entries = std::fs::read_dir(&dir)?;
        let names = entries.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(format!("{names:?}"))
    });
}

/// Which inode an open file is.
pub(crate) fn inode(fd: BorrowedFd<'_>) -> Result<Inode> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(Inode(stat.st_dev, stat.st_ino))
}

/// How a file is open: flags, position, and the name under which it was opened.
fn description(fd: BorrowedFd<'_>) -> Result<String> {
    // How it was made is no fact of what it is: CRIU does not bring O_TMPFILE back.
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?) - OFlag::O_TMPFILE;
    let close_on_exec = fcntl(fd, FcntlArg::F_GETFD)?;
    let position = seek(fd, SeekFrom::Current(0)).map_or_else(
        |errno| format!("none ({errno})"),
        |position| position.to_string(),
    );
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    Ok(format!(
        "{name:?} flags {flags:?} fd flags {close_on_exec} at {position}"
    ))
}

/// What an inode is: kind, mode, owner, links, size, time, extended attributes, contents.
pub(crate) fn facts(fd: BorrowedFd<'_>, life: Life) -> Result<String> {
    let file = File::from(fd.try_clone_to_owned()?);
    let metadata = file.metadata()?;
    let mut facts = of_metadata(&metadata, life);
    if metadata.is_file() {
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
        if !flags.contains(OFlag::O_PATH) {
            facts += &xattrs(
                |buffer| rustix::fs::flistxattr(fd, buffer),
                |name, value| rustix::fs::fgetxattr(fd, name, value),
            )?;
        }
        let is_readable = flags & OFlag::O_ACCMODE != OFlag::O_WRONLY;
        if is_readable && !flags.contains(OFlag::O_PATH) {
            facts += &contents(&file, metadata.len(), life)?;
        }
    }
    Ok(facts)
}

fn name_facts(path: &Path, life: Life) -> Result<String> {
    let metadata = path.symlink_metadata()?;
    let mut facts = of_metadata(&metadata, life);
    facts += &xattrs(
        |buffer| rustix::fs::llistxattr(path, buffer),
        |name, value| rustix::fs::lgetxattr(path, name, value),
    )?;
    if metadata.is_symlink() {
        facts += &format!(" to {:?}", path.read_link()?);
    }
    if metadata.is_file() {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOATIME);
        let file = options.open(path).or_else(|_| File::open(path))?;
        facts += &contents(&file, metadata.len(), life)?;
    }
    Ok(facts)
}

fn of_metadata(metadata: &std::fs::Metadata, life: Life) -> String {
    let time = match life {
        Life::Still | Life::Uncounted => {
            format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec())
        }
        Life::Live => "live".to_owned(),
    };
    let links = match life {
        Life::Still | Life::Live => metadata.nlink().to_string(),
        Life::Uncounted => "uncounted".to_owned(),
    };
    // A directory's size is its file system's own affair.
    let size = if metadata.is_dir() { 0 } else { metadata.len() };
    format!(
        "mode {:o} of {}:{} links {links} size {size} device {} time {time}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.rdev()
    )
}

/// A checksum of what is in a file, but for what may change. Blocks of zeros do not count: whether
/// they are holes is another question, see [`allocated`].
fn contents(file: &File, size: u64, life: Life) -> Result<String> {
    let mut at = match life {
        Life::Still | Life::Uncounted => 0,
        Life::Live => LIVE_BYTES,
    };
    let mut hasher = DefaultHasher::new();
    let mut block = vec![0; 64 * BLOCK];
    while at < size {
        // Only data is read: holes of gigabytes cost nothing.
        match seek_data(file, at)? {
            Some(data) => at = at.max(data / BLOCK as u64 * BLOCK as u64),
            None => break,
        }
        let read = file.read_at(&mut block, at)?;
        if read == 0 {
            break;
        }
        let bytes = block.get(..read).unwrap_or_default();
        for (index, part) in bytes.chunks(BLOCK).enumerate() {
            if part.iter().any(|&byte| byte != 0) {
                hasher.write_u64(at + (index * BLOCK) as u64);
                hasher.write(part);
            }
        }
        at += read as u64;
    }
    Ok(format!(" contents {:016x}", hasher.finish()))
}

/// Where the next data is, looked up by a description of its own: the position is a fact.
fn seek_data(file: &File, at: u64) -> Result<Option<u64>> {
    let own = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let Ok(own) = own else {
        return Ok(Some(at));
    };
    match seek(&own, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(rustix::io::Errno::INVAL) => Ok(Some(at)),
        Err(errno) => Err(errno).context("cannot look for data"),
    }
}

/// The bytes that a file really takes.
pub(crate) fn allocated(file: &File) -> Result<u64> {
    Ok(file.metadata()?.blocks() * 512)
}

/// All extended attributes, or nothing where there are none.
fn xattrs(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&OsStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<String> {
    use std::os::unix::ffi::OsStrExt;

    let mut names = vec![0; 65536];
    let length = match list(&mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(errno).context("cannot list extended attributes"),
    };
    let mut found = Vec::new();
    let names = names.get(..length).unwrap_or_default();
    for name in names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 65536];
        let length = get(OsStr::from_bytes(name), &mut value)?;
        value.truncate(length);
        found.push(format!("{}={value:x?}", String::from_utf8_lossy(name)));
    }
    found.sort();
    Ok(if found.is_empty() {
        String::new()
    } else {
        format!(" xattrs {}", found.join(" "))
    })
}

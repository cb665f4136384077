//! Ghost images: files that come back from the images, without a name (`ghost-file-ID.img`).
//!
//! A `ghost_file_entry`, and for a regular file its data: in one piece, or, from three pages on, in
//! chunks with the holes left out (CRIU `dump_ghost_file`, `create_ghost`).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use prost::Message;
use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat, seek};

use crate::criu::image::{Entries, Format, ImageError, Magic, put};
use crate::mountinfo::Device;
use crate::private;
use crate::process::IdMap;

/// Regular files of at least this many bytes are written in chunks (`GHOST_CHUNKS_THRESH`).
const CHUNKS_FROM_BYTES: u64 = 3 * 4096;

/// Bits of the minor number in the kernel's own form of a device (`MKKDEV`).
const KERNEL_MINOR_BITS: u32 = 20;

/// How often a file is read that others change meanwhile.
const ATTEMPTS: u32 = 3;

/// `ghost_file_entry` (ghost-file.proto).
#[derive(Clone, PartialEq, Message)]
struct GhostFileEntry {
    #[prost(uint32, required, tag = "1")]
    uid: u32,
    #[prost(uint32, required, tag = "2")]
    gid: u32,
    #[prost(uint32, required, tag = "3")]
    mode: u32,
    #[prost(uint32, optional, tag = "4")]
    dev: Option<u32>,
    #[prost(uint64, optional, tag = "5")]
    ino: Option<u64>,
    #[prost(uint32, optional, tag = "6")]
    rdev: Option<u32>,
    #[prost(message, optional, tag = "7")]
    atim: Option<Timeval>,
    #[prost(message, optional, tag = "8")]
    mtim: Option<Timeval>,
    #[prost(bool, optional, tag = "9")]
    chunks: Option<bool>,
    #[prost(uint64, optional, tag = "10")]
    size: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "11")]
    symlnk_target: Option<Vec<u8>>,
}

/// `timeval` (time.proto).
#[derive(Clone, Copy, PartialEq, Message)]
struct Timeval {
    #[prost(uint64, required, tag = "1")]
    tv_sec: u64,
    #[prost(uint64, required, tag = "2")]
    tv_usec: u64,
}

/// `ghost_chunk_entry` (ghost-file.proto).
#[derive(Clone, Copy, PartialEq, Message)]
struct GhostChunkEntry {
    #[prost(uint64, required, tag = "1")]
    len: u64,
    #[prost(uint64, required, tag = "2")]
    off: u64,
}

/// A ghost image that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenGhost {
    /// `st_mode`.
    pub mode: u32,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// Bytes of data in the image.
    pub data_bytes: u64,
}

/// A ghost image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GhostError {
    /// The file cannot be read.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// The image cannot be written.
    #[error("cannot write the image {path}")]
    Write {
        /// The image.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody writes to it.
    #[error("somebody outside the container changes it while it is saved; stop them, or try again")]
    Changed,
    /// Its owner has no name in the container.
    #[error(
        "its owner, user {uid} and group {gid}, is unknown in the container's user namespace; give it to another"
    )]
    Owner {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Only some types of files can come back from images.
    #[error("a file of this type (mode {0:o}) cannot come back from the images")]
    Type(u32),
}

/// Names of ghost images.
#[must_use]
pub fn file_name(id: u32) -> String {
    format!("ghost-file-{id:x}.img")
}

/// The inode that a ghost image was made of: the device, if the image says it, and the number.
///
/// # Errors
/// It is no ghost image.
pub fn inode_of(dir: &Path, id: u32) -> Result<Option<(Device, u64)>, ImageError> {
    let path = dir.join(file_name(id));
    let file = File::open(&path).map_err(|source| ImageError::Read {
        path: path.clone(),
        source,
    })?;
    let mut entries = Entries::new(&path, Magic::GhostFile, BufReader::new(file))?;
    let Some(message) = entries.message()? else {
        return Ok(None);
    };
    let entry = GhostFileEntry::decode(message.as_slice()).map_err(|source| {
        let entry = 0;
        ImageError::Decode {
            path,
            entry,
            source,
        }
    })?;
    Ok(entry.dev.zip(entry.ino).map(|(dev, inode)| {
        let device = Device {
            major: dev >> KERNEL_MINOR_BITS,
            minor: dev & ((1 << KERNEL_MINOR_BITS) - 1),
        };
        (device, inode)
    }))
}

/// Writes the image `path` of a file (an `O_PATH` descriptor suffices), readable by root only.
/// `ids` says how users and groups are called in the container.
///
/// Holes are left out; the file is never in memory as a whole. Nothing is synced.
///
/// # Errors
/// See [`GhostError`]; what was written is removed.
pub fn write(
    path: &Path,
    format: Format,
    file: BorrowedFd<'_>,
    ids: &(IdMap, IdMap),
) -> Result<WrittenGhost, GhostError> {
    let mut result = Err(GhostError::Changed);
    for _ in 0..ATTEMPTS {
        result = write_once(path, format, file, ids);
        if result.is_err() {
            let removed = private::remove_if_exists(path);
            removed.map_err(|source| cannot_write(path)(source))?;
        }
        if !matches!(result, Err(GhostError::Changed)) {
            break;
        }
    }
    result
}

fn write_once(
    path: &Path,
    format: Format,
    file: BorrowedFd<'_>,
    ids: &(IdMap, IdMap),
) -> Result<WrittenGhost, GhostError> {
    let stat = stat(file)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let entry = entry(file, &stat, kind, ids)?;
    let size = entry.size.unwrap_or_else(|| length(&stat));
    let image = private::create_file(path).map_err(cannot_write(path))?;
    let mut out = BufWriter::new(image);
    out.write_all(&format.header(Magic::GhostFile))
        .and_then(|()| put(&mut out, &entry.encode_to_vec()))
        .map_err(cannot_write(path))?;
    let mut data_bytes = 0;
    if kind == FileType::RegularFile {
        let source = open(file).map_err(GhostError::Read)?;
        if entry.chunks == Some(true) {
            data_bytes = chunks(&source, size, &mut out, path)?;
        } else {
            copy(&source, size, &mut out, path)?;
            data_bytes = size;
        }
    }
    out.flush().map_err(cannot_write(path))?;
    if is_changed(&stat, &self::stat(file)?) {
        return Err(GhostError::Changed);
    }
    Ok(WrittenGhost {
        mode: stat.st_mode,
        size_bytes: size,
        data_bytes,
    })
}

fn entry(
    file: BorrowedFd<'_>,
    stat: &Stat,
    kind: FileType,
    (users, groups): &(IdMap, IdMap),
) -> Result<GhostFileEntry, GhostError> {
    let (uid, gid) = (stat.st_uid, stat.st_gid);
    let (Some(uid), Some(gid)) = (users.inside(uid), groups.inside(gid)) else {
        return Err(GhostError::Owner { uid, gid });
    };
    let size = length(stat);
    let is_chunked = kind == FileType::RegularFile && size >= CHUNKS_FROM_BYTES;
    let mut entry = GhostFileEntry {
        uid,
        gid,
        mode: stat.st_mode,
        dev: Some(kernel_device(stat.st_dev)),
        ino: Some(stat.st_ino),
        rdev: None,
        atim: Some(timeval(stat.st_atime, stat.st_atime_nsec)),
        mtim: Some(timeval(stat.st_mtime, stat.st_mtime_nsec)),
        chunks: is_chunked.then_some(true),
        size: is_chunked.then_some(size),
        symlnk_target: None,
    };
    match kind {
        FileType::RegularFile | FileType::Fifo => {}
        // CRIU hands it to mknod(2) as it is.
        FileType::CharacterDevice | FileType::BlockDevice => {
            entry.rdev = u32::try_from(stat.st_rdev).ok();
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(file, "", Vec::new());
            let target = target.map_err(|errno| GhostError::Read(errno.into()))?;
            entry.symlnk_target = Some(OsString::from_vec(target.into_bytes()).into_vec());
        }
        _ => return Err(GhostError::Type(stat.st_mode)),
    }
    Ok(entry)
}

/// Copies the data of a file, each run as a chunk.
fn chunks(
    source: &File,
    size: u64,
    out: &mut BufWriter<File>,
    path: &Path,
) -> Result<u64, GhostError> {
    let mut total = 0;
    let mut position = 0;
    while position < size {
        let Some(begin) = find(source, SeekFrom::Data(position))? else {
            break;
        };
        if begin >= size {
            break;
        }
        let end = find(source, SeekFrom::Hole(begin))?
            .unwrap_or(size)
            .min(size);
        let length = end.saturating_sub(begin);
        if length == 0 {
            return Err(GhostError::Changed);
        }
        let chunk = GhostChunkEntry {
            len: length,
            off: begin,
        };
        put(out, &chunk.encode_to_vec()).map_err(cannot_write(path))?;
        seek(source, SeekFrom::Start(begin)).map_err(|errno| GhostError::Read(errno.into()))?;
        copy(source, length, out, path)?;
        total += length;
        position = end;
    }
    Ok(total)
}

/// `None` if nothing follows (`ENXIO`).
fn find(file: &File, wanted: SeekFrom) -> Result<Option<u64>, GhostError> {
    match seek(file, wanted) {
        Ok(found) => Ok(Some(found)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(errno) => Err(GhostError::Read(errno.into())),
    }
}

/// Copies from where the file stands. CRIU expects every byte that was promised.
fn copy(
    source: &File,
    length: u64,
    out: &mut BufWriter<File>,
    path: &Path,
) -> Result<(), GhostError> {
    let copied = io::copy(&mut source.take(length), out).map_err(cannot_write(path))?;
    if copied == length {
        Ok(())
    } else {
        Err(GhostError::Changed)
    }
}

/// Opens what the descriptor stands for, without a trace in its access time if that is allowed.
fn open(file: BorrowedFd<'_>) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(&path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => rustix::fs::open(&path, flags, Mode::empty()),
        opened => opened,
    };
    Ok(opened?.into())
}

fn stat(file: BorrowedFd<'_>) -> Result<Stat, GhostError> {
    rustix::fs::fstat(file).map_err(|errno| GhostError::Read(errno.into()))
}

fn is_changed(before: &Stat, now: &Stat) -> bool {
    let key = |stat: &Stat| {
        let modified = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_size, stat.st_mode, modified)
    };
    key(before) != key(now)
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn kernel_device(device: u64) -> u32 {
    (rustix::fs::major(device) << KERNEL_MINOR_BITS) | rustix::fs::minor(device)
}

fn timeval(seconds: i64, nanoseconds: u64) -> Timeval {
    Timeval {
        // CRIU stores the bits of a time before 1970 as they are, too.
        tv_sec: seconds.cast_unsigned(),
        tv_usec: nanoseconds / 1000,
    }
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> GhostError {
    let path = path.to_owned();
    move |source| GhostError::Write { path, source }
}

#[cfg(test)]
mod tests;

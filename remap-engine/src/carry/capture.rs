//! Writes everything below a directory into an archive.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::sys::stat::{FileStat, major, minor};

use super::entry::{Attributes, Kind, Node, Xattrs};
use super::error::CaptureError;
use super::index::Totals;
use super::kept;
use super::origin::Origin;
use super::tree::{Pinned, Tree};
use super::walk::{Found, Walk, WalkError};
use super::write::{ArchiveWriter, WriteError};
use super::{pax, sparse, xattrs};

/// Bytes that one unit of `st_blocks` stands for (stat(2)).
const STAT_BLOCK: u64 = 512;

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    /// Every name in the archive, the root first (an empty path).
    pub entries: Vec<Entry>,
    /// What is below the root and not in the archive.
    pub skipped: Vec<Skipped>,
    /// Sums over the entries.
    pub totals: Totals,
    /// Length of the archive in bytes.
    pub archive_bytes: u64,
}

/// A captured name and the inode behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Inode number.
    pub ino: u64,
    /// Device number of the file system, as `st_dev`.
    pub dev: u64,
    /// How many names the inode has, also outside the root.
    pub nlink: u64,
    /// Length in bytes.
    pub size: u64,
    /// Permission, set-ID and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A name that is not in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Relative to the root.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// Why a name is not in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// A bound socket: CRIU restores it with its process.
    Socket,
    /// Another mount lies on it: a tree of its own.
    NestedMount,
    /// Kept by a restore for other containers (see [`Together`](super::Together)).
    Kept,
}

/// What the archive is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Another host: sockets are reported instead, security modules' labels are left
    /// out, since the target gives its own.
    Carry,
    /// Putting everything back here, names of dead sockets included.
    Stash,
}

/// Writes all contents below `root` (a directory, `O_PATH` suffices) to `out`.
///
/// Hard links stay links, holes stay holes; modes, owners, times and extended
/// attributes are kept, the root's own too; labels of security modules (SELinux,
/// Smack, IMA, EVM) are not, since they are the target's to give. Mounts below are
/// not entered, sockets are left out; both are reported. Names that vanish meanwhile
/// are left out.
///
/// The caller creates `out` (mode 0600) and syncs it when it likes: nothing is synced
/// here. Access times do not move, but for those of symbolic links: readlink(2)
/// knows no `O_NOATIME`.
///
/// # Errors
/// When something cannot be read or written, or is written to by others. The tree
/// is unchanged; what is in `out` is of no use.
pub fn capture(root: BorrowedFd<'_>, out: File) -> Result<Captured, CaptureError> {
    capture_tree(&open(root)?, out, Purpose::Carry)
}

/// As [`capture`], but only the inodes whose numbers are in `inodes`, each with all its names below
/// `root`, and the directories above those.
///
/// # Errors
/// As [`capture`].
pub fn capture_inodes(
    root: BorrowedFd<'_>,
    inodes: &HashSet<u64>,
    out: File,
) -> Result<Captured, CaptureError> {
    let tree = open(root)?;
    let mut wanted = HashSet::new();
    for found in Walk::new(&tree) {
        match found {
            Ok(Found::Entry { path, stat, .. }) if inodes.contains(&stat.st_ino) => {
                wanted.extend(path.ancestors().map(Path::to_owned));
            }
            Ok(_) => {}
            Err(WalkError { path, source }) => return Err(read("visit", &path)(source)),
        }
    }
    wanted.insert(PathBuf::new());
    capture_some(&tree, out, Purpose::Carry, |path| wanted.contains(path))
}

fn open(root: BorrowedFd<'_>) -> Result<Tree, CaptureError> {
    Tree::below(root, PathBuf::new()).map_err(|source| CaptureError::Read {
        action: "open",
        path: PathBuf::new(),
        source,
    })
}

/// The same for a tree, and for either purpose.
pub(super) fn capture_tree(
    tree: &Tree,
    out: File,
    purpose: Purpose,
) -> Result<Captured, CaptureError> {
    capture_some(tree, out, purpose, |_| true)
}

/// The same, of the names that are wanted: with one, all directories above it.
fn capture_some(
    tree: &Tree,
    out: File,
    purpose: Purpose,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Captured, CaptureError> {
    let mut capture = Capture {
        writer: ArchiveWriter::new(out),
        names: HashMap::new(),
        captured: Captured {
            entries: Vec::new(),
            skipped: Vec::new(),
            totals: Totals::default(),
            archive_bytes: 0,
        },
        purpose,
    };
    for found in Walk::new(tree) {
        match found {
            Ok(Found::Entry { path, .. }) if purpose == Purpose::Carry && kept::is_below(&path) => {
                capture.skip(path, SkipReason::Kept);
            }
            Ok(Found::Entry {
                path,
                kind,
                pinned,
                stat,
            }) if wanted(&path) => capture.add(path, kind, &pinned, &stat)?,
            Ok(Found::Entry { .. }) => {}
            Ok(Found::Mount(path)) => capture.skip(path, SkipReason::NestedMount),
            Err(WalkError { path, source }) => return Err(read("visit", &path)(source)),
        }
    }
    let Capture {
        writer,
        mut captured,
        ..
    } = capture;
    captured.archive_bytes = writer.finish().map_err(|source| CaptureError::Write {
        path: PathBuf::new(),
        source,
    })?;
    Ok(captured)
}

struct Capture {
    writer: ArchiveWriter,
    /// First name of each inode that has more than one, by device and number.
    names: HashMap<(u64, u64), PathBuf>,
    captured: Captured,
    purpose: Purpose,
}

impl Capture {
    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.captured.skipped.push(Skipped { path, reason });
    }

    fn add(
        &mut self,
        path: PathBuf,
        kind: Kind,
        pinned: &Pinned,
        stat: &FileStat,
    ) -> Result<(), CaptureError> {
        if kind == Kind::Socket && self.purpose == Purpose::Carry {
            self.skip(path, SkipReason::Socket);
            return Ok(());
        }
        let mut file = None;
        let node = match self.earlier_name(&path, kind, stat) {
            Some(first) => Node::HardLink(first),
            None => node(&path, kind, pinned, stat, &mut file)?,
        };
        let xattrs = match node {
            Node::HardLink(_) => Vec::new(),
            _ => self.xattrs(&path, pinned)?,
        };
        let mut attributes = Attributes::of(stat, xattrs);
        if self.purpose == Purpose::Carry && !matches!(node, Node::HardLink(_) | Node::Directory) {
            attributes.origin = Origin::of(pinned).map_err(read("stat", &path))?;
        }
        self.writer
            .member(&path, &node, &attributes, file.as_ref())
            .map_err(|error| write_error(error, &path))?;
        if let Some(file) = &file
            && is_changed(file, stat).map_err(read("stat", &path))?
        {
            return Err(CaptureError::Changed { path });
        }
        self.captured.totals.count(&node);
        self.captured.entries.push(Entry {
            path,
            kind,
            ino: stat.st_ino,
            dev: stat.st_dev,
            nlink: nlink(stat),
            size: size(stat),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
        });
        Ok(())
    }

    fn xattrs(&self, path: &Path, pinned: &Pinned) -> Result<Xattrs, CaptureError> {
        let mut xattrs =
            xattrs::read(&pinned.path()).map_err(read("read the extended attributes of", path))?;
        if self.purpose == Purpose::Carry {
            xattrs.retain(|(name, _)| !xattrs::is_label(name));
        }
        Ok(xattrs)
    }

    fn earlier_name(&mut self, path: &Path, kind: Kind, stat: &FileStat) -> Option<PathBuf> {
        if kind == Kind::Directory || stat.st_nlink < 2 {
            return None;
        }
        match self.names.entry((stat.st_dev, stat.st_ino)) {
            Slot::Occupied(first) => Some(first.get().clone()),
            Slot::Vacant(slot) => {
                slot.insert(path.to_owned());
                None
            }
        }
    }
}

fn node(
    path: &Path,
    kind: Kind,
    pinned: &Pinned,
    stat: &FileStat,
    file: &mut Option<File>,
) -> Result<Node, CaptureError> {
    Ok(match kind {
        Kind::Directory => Node::Directory,
        Kind::Regular => {
            let opened = pinned.open_file().map_err(read("open", path))?;
            let size = size(stat);
            let extents = sparse::probe(&opened, size).map_err(read("find the holes of", path))?;
            *file = Some(opened);
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
            let reserved =
                sparse::has_holes(&extents, size) && blocks.saturating_mul(STAT_BLOCK) >= size;
            Node::Regular {
                size,
                extents,
                reserved,
            }
        }
        Kind::Symlink => Node::Symlink(pinned.link_target().map_err(read("read", path))?),
        Kind::Fifo => Node::Fifo,
        Kind::Socket => Node::Socket,
        Kind::CharDevice | Kind::BlockDevice => Node::Device {
            block: kind == Kind::BlockDevice,
            major: device_number(major(stat.st_rdev)).map_err(read("stat", path))?,
            minor: device_number(minor(stat.st_rdev)).map_err(read("stat", path))?,
        },
    })
}

/// Whether somebody has written to the file, or changed what it is, since `before`.
fn is_changed(file: &File, before: &FileStat) -> io::Result<bool> {
    let key = |stat: &FileStat| {
        let modified = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_size, modified, (stat.st_ctime, stat.st_ctime_nsec))
    };
    Ok(key(&nix::sys::stat::fstat(file)?) != key(before))
}

fn device_number(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(io::Error::other)
}

fn size(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// `st_nlink` is narrower than 64 bits on some architectures.
#[allow(clippy::useless_conversion)]
pub(super) fn nlink(stat: &FileStat) -> u64 {
    stat.st_nlink.into()
}

fn read(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CaptureError {
    let path = path.to_owned();
    move |source| CaptureError::Read {
        action,
        path,
        source,
    }
}

fn write_error(error: WriteError, path: &Path) -> CaptureError {
    let path = path.to_owned();
    match error {
        WriteError::Write(source) => CaptureError::Write { path, source },
        WriteError::Read(source) => CaptureError::Read {
            action: "read",
            path,
            source,
        },
        WriteError::Changed => CaptureError::Changed { path },
        WriteError::Attributes(bytes) => CaptureError::Attributes {
            path,
            bytes,
            limit: pax::LIMIT,
        },
    }
}

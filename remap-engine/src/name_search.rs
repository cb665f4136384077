//! The search for names of inodes on a mount.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use crate::link_remap::is_link_remap;
use crate::mountinfo::Device;
use crate::process::device_of;

/// An inode: `st_dev` and `st_ino`.
pub(crate) type Inode = (Device, u64);

/// What to look for, and where.
pub(crate) struct NameSearch<'d> {
    /// The root of the mount, as the container sees it.
    pub(crate) view: &'d OwnedFd,
    /// The directory whose tree is listed: the same, or one that has every name that matters.
    pub(crate) listed: &'d OwnedFd,
    /// The inodes.
    pub(crate) wanted: HashSet<Inode>,
    /// What kinds of files they are: others are not looked at.
    pub(crate) kinds: Vec<FileType>,
    /// When it is given up.
    pub(crate) until: Instant,
}

/// What a search has found.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// A name of each inode, relative to the root; that of the root itself is empty.
    pub(crate) names: HashMap<Inode, PathBuf>,
    /// Whether some names could not be seen: other mounts cover them.
    pub(crate) hidden: bool,
    /// Whether it took too long.
    pub(crate) expired: bool,
}

impl NameSearch<'_> {
    /// Searches, those directories first in which a name is likely.
    pub(crate) fn run(mut self, likely: HashSet<PathBuf>) -> Names {
        let mut found = Names::default();
        if let Ok(stat) = rustix::fs::statx(self.view, "", AtFlags::EMPTY_PATH, StatxFlags::INO) {
            let root = (device_of(&stat), stat.stx_ino);
            if self.wanted.remove(&root) {
                found.names.insert(root, PathBuf::new());
            }
        }
        let mut pending = vec![PathBuf::new()];
        pending.extend(likely);
        while let Some(dir) = pending.pop() {
            if self.wanted.is_empty() {
                break;
            }
            if Instant::now() >= self.until {
                found.expired = true;
                break;
            }
            match self.visit(&dir, &mut pending, &mut found) {
                // It has vanished, or is in one layer only.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    tracing::debug!(dir = %dir.display(), %error, "left out of a search");
                    found.hidden = true;
                }
            }
        }
        found
    }

    fn visit(
        &mut self,
        dir: &Path,
        pending: &mut Vec<PathBuf>,
        found: &mut Names,
    ) -> rustix::io::Result<()> {
        let listed = open_below(self.listed, dir)?;
        let view = match open_below(self.view, dir) {
            // Covered. The list tells whether there is anything below: as a rule a place to mount
            // on is empty.
            Err(Errno::XDEV) => None,
            view => Some(view?),
        };
        for entry in Dir::read_from(&listed)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = entry.file_type();
            if kind == FileType::Directory || kind == FileType::Unknown {
                pending.push(dir.join(name));
            }
            if kind != FileType::Unknown && !self.kinds.contains(&kind) || is_link_remap(name) {
                continue;
            }
            let Some(view) = &view else {
                found.hidden = true;
                continue;
            };
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
            let wanted = StatxFlags::TYPE | StatxFlags::INO;
            let Ok(stat) = rustix::fs::statx(view, name, flags, wanted) else {
                continue;
            };
            let inode = (device_of(&stat), stat.stx_ino);
            if self.wanted.remove(&inode) {
                found.names.insert(inode, dir.join(name));
            }
        }
        Ok(())
    }
}

/// Opens a directory below the root, not one of another mount, nor by way of a symbolic link.
fn open_below(root: &OwnedFd, dir: &Path) -> rustix::io::Result<OwnedFd> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, dir, flags, Mode::empty(), beneath)
}

#[cfg(test)]
mod tests;

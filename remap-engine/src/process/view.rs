//! The container's files as one of its processes sees them.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags,
};

use super::{Process, ProcessError, device_of};
use crate::mountinfo::{Device, MountEntry};
use crate::mountmap::View;

impl Process {
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

    /// Device and inode of the file at `path` as the process sees it, or why there is none.
    pub(crate) fn look_up(&self, path: &Path, nofollow: bool) -> rustix::io::Result<(Device, u64)> {
        let nofollow = if nofollow {
            OFlags::NOFOLLOW
        } else {
            OFlags::empty()
        };
        let stat = self.try_look_at(path, nofollow)?;
        Ok((device_of(&stat), stat.stx_ino))
    }

    /// The same, following it.
    pub(crate) fn at_path(&self, path: &Path) -> Option<(Device, u64)> {
        let stat = self.look_at(path, OFlags::empty())?;
        Some((device_of(&stat), stat.stx_ino))
    }

    /// What is at `path` as the process sees it.
    fn look_at(&self, path: &Path, flags: OFlags) -> Option<Statx> {
        self.try_look_at(path, flags).ok()
    }

    fn try_look_at(&self, path: &Path, flags: OFlags) -> rustix::io::Result<Statx> {
        let root = rustix::fs::openat(
            &self.dir,
            "root",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let file = rustix::fs::openat2(
            root?,
            path,
            OFlags::PATH | OFlags::CLOEXEC | flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        );
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        rustix::fs::statx(file?, "", flags, wanted)
    }
}

impl View for Process {
    fn mount_at(&self, path: &Path) -> Option<u64> {
        let stat = self.look_at(path, OFlags::empty())?;
        let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        is_root.then_some(stat.stx_mnt_id)
    }

    fn is_directory(&self, entry: &MountEntry, source: &Path) -> bool {
        let stat = self.look_at(&entry.mount_point, OFlags::empty());
        match stat.filter(|stat| stat.stx_mnt_id == entry.id) {
            Some(stat) => FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory,
            // One that is not there is found to be out of reach.
            None => source.metadata().map_or(true, |found| found.is_dir()),
        }
    }
}

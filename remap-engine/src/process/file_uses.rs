//! Everything that a process holds, with as few looks as will do: its tasks stand still meanwhile.
//!
//! A look through a link below `/proc/PID` is dear: the kernel finds the process anew, asks whether
//! the caller may look at it, and walks on to the file (`proc_pid_get_link` of fs/proc/base.c).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags};

use super::{FileUse, Mapping, Process, ProcessError, UseKind, device_of, mapped_files};
use crate::mountinfo::{Device, MountEntry};
use crate::parallel;

/// Descriptors that a thread looks at before it takes the next ones.
const CHUNK: usize = 256;

/// What a process holds by no number.
const PLACES: [UseKind; 3] = [UseKind::Exe, UseKind::Cwd, UseKind::Root];

/// Mounts of tmpfs, each the only one of its file system that the container sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct SoleMounts(HashSet<u64>);

impl SoleMounts {
    /// `mounts` are those of all mount namespaces of the container.
    pub(crate) fn of<'m>(mounts: impl Iterator<Item = &'m MountEntry>) -> Self {
        let mut ids: HashMap<Device, HashSet<u64>> = HashMap::new();
        for mount in mounts.filter(|mount| mount.fs_type == "tmpfs") {
            ids.entry(mount.device).or_default().insert(mount.id);
        }
        let sole = ids.into_values().filter(|ids| ids.len() == 1);
        Self(sole.flatten().collect())
    }

    fn has(&self, one: &FileUse) -> bool {
        self.0.contains(&one.mount_id)
    }
}

/// What a process holds on sole mounts, as far as it is known: places in a list of uses.
#[derive(Default)]
struct Known(HashMap<(Device, u64), usize>);

impl Known {
    fn add(&mut self, one: &FileUse, place: usize) {
        self.0.insert((one.device, one.inode), place);
    }

    /// A use of the same file by the same name as a mapping, which is then one by the same mount, or
    /// as good as that.
    ///
    /// A tmpfs shows device and inode number to statx(2) as in `maps` (`shmem_getattr` of
    /// mm/shmem.c), so that it is the same inode. Its mount `maps` does not show. If it is not the
    /// only one that the container sees of the file system, then it is one that nobody there sees
    /// any more; and by such a mount nothing is looked for, and nothing in the way: only the inode
    /// and the name count, and both are the other's, too.
    fn twin<'u>(&self, mapping: &Mapping, uses: &'u [FileUse]) -> Option<&'u FileUse> {
        let place = self.0.get(&(mapping.device, mapping.inode))?;
        let twin = uses.get(*place)?;
        let has_name = twin.name.as_encoded_bytes() == mapping.name;
        has_name.then_some(twin)
    }
}

impl Process {
    /// Every file that it uses: descriptors, file mappings, executable, working and root directory.
    /// `sole` are the mounts on which one look at an inode is enough.
    ///
    /// Descriptors and mappings that vanish while they are listed are left out: of a frozen
    /// process none can. Files are looked at with `AT_STATX_DONT_SYNC`, so that a file on a FUSE
    /// file system whose server is frozen with the container does not block (statx(2)).
    ///
    /// # Errors
    /// As [`Process::read`].
    pub(crate) fn file_uses(&self, sole: &SoleMounts) -> Result<Vec<FileUse>, ProcessError> {
        let maps = || Ok::<_, ProcessError>(mapped_files(&self.read("maps")?));
        let has_many = self.descriptor_count() > Some(CHUNK as u64);
        let (maps, uses) = if has_many {
            parallel::both(maps, || self.descriptor_uses())
        } else {
            (maps(), self.descriptor_uses())
        };
        let (maps, mut uses) = (maps?, uses?);
        uses.reserve_exact(maps.len() + PLACES.len());
        let mut known = Known::default();
        for (place, one) in uses.iter().enumerate().filter(|(_, one)| sole.has(one)) {
            known.add(one, place);
        }
        let links = LinkDir::open(self, "map_files")?;
        for mapping in maps {
            let kind = UseKind::Mapping(mapping.range.0, mapping.range.1);
            // The text of the link is that in `maps` but for newlines, which are escaped there
            // (proc_pid_maps(5)); what is no path may have another name there.
            let is_path = mapping.name.starts_with(b"/") && !mapping.name.contains(&b'\\');
            if let Some(twin) = known.twin(&mapping, &uses).filter(|_| is_path) {
                let twin = twin.clone();
                uses.push(FileUse { kind, ..twin });
                continue;
            }
            let name = is_path.then(|| OsString::from_vec(mapping.name));
            let Some(found) = links.look(kind, name)? else {
                continue;
            };
            if sole.has(&found) {
                known.add(&found, uses.len());
            }
            uses.push(found);
        }
        for kind in PLACES {
            uses.extend(self.file_use(kind)?);
        }
        Ok(uses)
    }

    /// What it holds by descriptors.
    fn descriptor_uses(&self) -> Result<Vec<FileUse>, ProcessError> {
        let links = LinkDir::open(self, "fd")?;
        let fds = links.descriptors()?;
        let chunks: Vec<&[u32]> = fds.chunks(CHUNK).collect();
        let look = |chunk: &&[u32]| -> Result<Vec<FileUse>, ProcessError> {
            let uses = chunk.iter().map(|fd| links.look(UseKind::Fd(*fd), None));
            uses.filter_map(Result::transpose).collect()
        };
        let mut uses = Vec::with_capacity(fds.len());
        for chunk in parallel::map(&chunks, look)? {
            uses.extend(chunk);
        }
        Ok(uses)
    }

    /// What it holds of file systems with these devices, but for mappings. What the kernel does not
    /// show is left out.
    pub(crate) fn uses_on(&self, devices: &HashSet<Device>) -> Vec<FileUse> {
        let mut uses = Vec::new();
        if let Ok(links) = LinkDir::open(self, "fd") {
            let fds = links.descriptors().unwrap_or_default().into_iter();
            let kinds = fds.map(UseKind::Fd);
            // Most are elsewhere, and their names of no interest.
            let there = kinds.filter(|kind| {
                let device = links.device(kind);
                device.is_some_and(|device| devices.contains(&device))
            });
            uses.extend(there.filter_map(|kind| links.look(kind, None).ok().flatten()));
        }
        let places = PLACES.into_iter();
        let places = places.filter_map(|kind| self.file_use(kind).ok().flatten());
        uses.extend(places.filter(|one| devices.contains(&one.device)));
        uses
    }
}

/// A directory of links below `/proc/PID`, so that each is found in one step.
struct LinkDir<'p> {
    process: &'p Process,
    name: &'static str,
    dir: OwnedFd,
}

impl<'p> LinkDir<'p> {
    fn open(process: &'p Process, name: &'static str) -> Result<Self, ProcessError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&process.dir, name, flags, Mode::empty());
        let dir = dir.map_err(|errno| process.error(name, errno.into()))?;
        Ok(Self { process, name, dir })
    }

    fn descriptors(&self) -> Result<Vec<u32>, ProcessError> {
        let list = || -> rustix::io::Result<Vec<u32>> {
            let mut fds = Vec::new();
            for entry in Dir::read_from(&self.dir)? {
                let entry = entry?;
                let name = entry.file_name().to_str();
                fds.extend(name.ok().and_then(|name| name.parse::<u32>().ok()));
            }
            Ok(fds)
        };
        list().map_err(|errno| self.process.error(self.name, errno.into()))
    }

    fn look(&self, kind: UseKind, name: Option<OsString>) -> Result<Option<FileUse>, ProcessError> {
        self.process.look(&self.dir, &kind.leaf(), kind, name)
    }

    fn device(&self, kind: &UseKind) -> Option<Device> {
        let flags = AtFlags::STATX_DONT_SYNC;
        let stat = rustix::fs::statx(&self.dir, kind.leaf(), flags, StatxFlags::TYPE);
        Some(device_of(&stat.ok()?))
    }
}

#[cfg(test)]
mod tests;

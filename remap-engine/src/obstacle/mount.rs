//! Files on mounts that no task of the container sees.
//!
//! CRIU finds a file by the id of its mount, and knows the mounts of all mount namespaces of the
//! tasks (`dump_one_reg_file`, `lookup_mnt_id`). What was unmounted lazily is not among them, nor
//! are the mounts that the kernel keeps for itself.

use std::collections::HashSet;
use std::ffi::OsString;

use rustix::fs::FileType;

use super::{Found, Held, Kind};
use crate::mountinfo::{Device, MountEntry};
use crate::process::{FileUse, Process, ProcessError, UseKind};

/// What the kernel calls the memory of memfd_secret(2), which has never had another name.
const SECRET: &[u8] = b"/secretmem (deleted)";

/// Memory of the kernel's own file systems for which CRIU has a way: on huge pages, of System V,
/// asynchronous input and output. A DMA buffer can be taken by a plugin.
const OTHER_MEMORY: &[&[u8]] = &[
    b"/memfd:",
    b"/anon_hugepage",
    b"/SYSV",
    b"/[aio]",
    b"/dmabuf:",
];

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let suspects = || {
        held.uses()
            .filter(|(_, one)| is_suspect(one, held.memfd_device))
    };
    if suspects().next().is_none() {
        return Ok(());
    }
    let Some(mut known) = Known::of_this_process() else {
        return Ok(());
    };
    for one in held.living() {
        known.add(one.process)?;
    }
    for (process, one) in suspects() {
        if let Some(kind) = known.judge(one) {
            found.held(kind, process, one);
        }
    }
    Ok(())
}

/// Whether it is a file that CRIU looks for by its mount, and that has no other way.
fn is_suspect(one: &FileUse, memfd_device: Device) -> bool {
    let name = one.name.as_encoded_bytes();
    let by_mount = match (&one.kind, FileType::from_raw_mode(one.mode)) {
        (UseKind::Fd(_), FileType::RegularFile | FileType::Directory | FileType::Fifo) => true,
        (UseKind::Cwd, _) => true,
        (UseKind::Mapping(..), _) => name == SECRET,
        _ => false,
    };
    let other = OTHER_MEMORY.iter().any(|prefix| name.starts_with(prefix));
    by_mount && name.starts_with(b"/") && !other && one.device != memfd_device
}

/// The mounts that CRIU may know.
#[derive(Debug, Default)]
struct Known {
    ids: HashSet<u64>,
    /// File systems of POSIX message queues: the kernel's own mount is of the same.
    queues: HashSet<Device>,
    /// The mount namespaces and roots of those who were asked.
    views: HashSet<[OsString; 2]>,
}

impl Known {
    /// Those of the caller: CRIU looks at its own, too.
    fn of_this_process() -> Option<Self> {
        let text = std::fs::read("/proc/self/mountinfo").ok()?;
        let mut known = Self::default();
        known.extend(&crate::mountinfo::parse(&text).ok()?);
        Some(known)
    }

    /// A process sees only the mounts below its root, so both count.
    fn add(&mut self, process: &Process) -> Result<(), ProcessError> {
        let view = [process.link("ns/mnt")?, process.link("root")?];
        if self.views.insert(view) {
            self.extend(&process.mounts()?);
        }
        Ok(())
    }

    fn extend(&mut self, mounts: &[MountEntry]) {
        self.ids.extend(mounts.iter().map(|mount| mount.id));
        let queues = mounts.iter().filter(|mount| mount.fs_type == "mqueue");
        self.queues.extend(queues.map(|mount| mount.device));
    }

    fn judge(&self, one: &FileUse) -> Option<Kind> {
        if self.ids.contains(&one.mount_id) {
            return None;
        }
        Some(if one.name.as_encoded_bytes() == SECRET {
            Kind::SecretMemory
        } else if self.queues.contains(&one.device) {
            Kind::MessageQueue
        } else {
            Kind::UnknownMount
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMFD: Device = Device { major: 0, minor: 1 };
    const QUEUES: Device = Device {
        major: 0,
        minor: 20,
    };

    fn held(kind: UseKind, mount_id: u64, name: &str) -> FileUse {
        FileUse {
            pid: 7,
            kind,
            device: Device { major: 0, minor: 9 },
            inode: 5,
            mount_id,
            name: name.into(),
            links: 1,
            size_bytes: 0,
            allocated_bytes: 0,
            mode: 0o100_600,
        }
    }

    fn judge(one: &FileUse) -> Option<Kind> {
        let known = Known {
            ids: HashSet::from([1, 2]),
            queues: HashSet::from([QUEUES]),
            views: HashSet::new(),
        };
        is_suspect(one, MEMFD).then(|| known.judge(one)).flatten()
    }

    #[test]
    fn a_file_is_in_the_way_if_nobody_sees_its_mount() {
        let fd = || UseKind::Fd(3);
        assert_eq!(judge(&held(fd(), 1, "/a")), None);
        assert_eq!(judge(&held(fd(), 9, "/a")), Some(Kind::UnknownMount));
        assert_eq!(judge(&held(UseKind::Cwd, 9, "/")), Some(Kind::UnknownMount));
        let mut queue = held(fd(), 9, "/q");
        queue.device = QUEUES;
        assert_eq!(judge(&queue), Some(Kind::MessageQueue));
        queue.mount_id = 2;
        assert_eq!(judge(&queue), None);
        let secret = "/secretmem (deleted)";
        assert_eq!(judge(&held(fd(), 9, secret)), Some(Kind::SecretMemory));
        let mapping = UseKind::Mapping(4096, 8192);
        assert_eq!(judge(&held(mapping, 9, secret)), Some(Kind::SecretMemory));
        assert_eq!(judge(&held(fd(), 1, secret)), None);
    }

    #[test]
    fn what_is_not_found_by_its_mount_is_not_in_the_way() {
        let fd = || UseKind::Fd(3);
        for name in ["socket:[9]", "pipe:[9]", "mnt:[9]", "/memfd:x (deleted)"] {
            assert_eq!(judge(&held(fd(), 9, name)), None, "{name}");
        }
        let mut memfd = held(fd(), 9, "/x (deleted)");
        memfd.device = MEMFD;
        assert_eq!(judge(&memfd), None);
        let mapping = UseKind::Mapping(4096, 8192);
        assert_eq!(judge(&held(mapping, 9, "/[aio] (deleted)")), None);
        assert_eq!(judge(&held(UseKind::Exe, 9, "/a")), None);
        let mut device = held(fd(), 9, "/dev/null");
        device.mode = 0o020_666;
        assert_eq!(judge(&device), None);
    }
}

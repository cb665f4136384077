//! Files of processes in `/proc`: whose they are, and whose they would be after a restore.
//!
//! CRIU opens such a file again by its path, so that its process must have the same number then, and
//! be there already. Of a process that has ended it makes a helper with its number
//! (`dump_dead_process_remap`); whether it takes a process for such a one it tells by the suffix
//! ` (deleted)`, or by looking whether its directory is there (`check_path_remap`).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::patience::Patience;
use super::viewers::{Found, Viewer, Viewers};
use crate::mountinfo::{Device, MountEntry};
use crate::process::{FileUse, Process, ProcessError, Status, strip_deleted};

/// A file in the directory of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcFile {
    /// The number of the process.
    pub number: i32,
    /// The number of the thread, if it is in the directory of one other than the first.
    pub thread: Option<i32>,
    /// Whether its path leads to it: the process lives, and the thread.
    pub is_there: bool,
    /// Who has the number now.
    pub owner: Owner,
    /// Whether the kernel shows it as deleted.
    pub looks_deleted: bool,
    /// Whether CRIU would make a helper for the process if that had ended, and find the file there.
    pub has_helper: bool,
}

/// Who has the number of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A process that is dumped.
    Process,
    /// A thread of one, not the first.
    Thread,
    /// Somebody who is not dumped.
    Outside,
    /// Nobody.
    Nobody,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct ProcFiles(HashMap<(Device, u64, OsString), ProcFile>);

impl ProcFiles {
    /// Looks at those that `uses` hold. `tree` are the processes that are dumped.
    pub(super) fn look(
        tree: &[Process],
        viewers: &Viewers,
        uses: &[FileUse],
        patience: &Patience,
    ) -> Result<Self, ProcessError> {
        let mut files = Self::default();
        let mut numbers = None;
        for one in uses {
            let Some(viewer) = viewers.find(one) else {
                continue;
            };
            let Some(place) = viewer.mount(one).and_then(|mount| Place::of(one, mount)) else {
                continue;
            };
            let numbers = match &mut numbers {
                Some(known) => known,
                unknown => unknown.insert(Numbers::of(tree)?),
            };
            let file = place.look(one, viewer, numbers, patience);
            files.insert(one, file);
        }
        Ok(files)
    }

    pub(crate) fn insert(&mut self, one: &FileUse, file: ProcFile) {
        let key = (one.device, one.inode, one.name.clone());
        self.0.insert(key, file);
    }

    /// What there is to know about a file; `None` if it is not of a process.
    #[must_use]
    pub fn of(&self, one: &FileUse) -> Option<&ProcFile> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(one.device, one.inode, one.name.clone()))
    }
}

/// The numbers of what is dumped, in its own pid namespace.
struct Numbers {
    processes: HashSet<i32>,
    threads: HashSet<i32>,
}

impl Numbers {
    fn of(tree: &[Process]) -> Result<Self, ProcessError> {
        let number = |text: &[u8]| Status::parse(text).number;
        let (mut processes, mut threads) = (HashSet::new(), HashSet::new());
        for process in tree {
            processes.extend(number(&process.read("status")?));
            for thread in process.threads()? {
                // It may have ended.
                threads.extend(thread.read("status").ok().and_then(|text| number(&text)));
            }
        }
        Ok(Self { processes, threads })
    }
}

/// Where a file of a process is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    number: i32,
    thread: Option<i32>,
    /// The directory of the process.
    directory: PathBuf,
    /// Whether the directory of a process that has just begun has such a file, and CRIU sees that it
    /// is one of a process.
    has_helper: bool,
}

impl Place {
    /// `None` if it is no file of a process.
    fn of(one: &FileUse, mount: &MountEntry) -> Option<Self> {
        if mount.fs_type != "proc" {
            return None;
        }
        let name = Path::new(strip_deleted(&one.name).unwrap_or(&one.name));
        let below = name.strip_prefix(&mount.mount_point).ok()?;
        let inside = mount.root.join(below);
        let mut parts = inside.components().filter_map(|part| match part {
            Component::Normal(part) => Some(part),
            _ => None,
        });
        let first = parts.next()?;
        let number = numeric(first)?;
        let rest: Vec<&OsStr> = parts.collect();
        let thread = match rest[..] {
            [task, thread, ..] if task == "task" => numeric(thread),
            _ => None,
        };
        let thread = thread.filter(|thread| *thread != number);
        let only_of_living = match rest[..] {
            [what, _, ..] => ["fd", "fdinfo", "map_files"].iter().any(|one| what == *one),
            _ => false,
        };
        // It takes the second part of the path for the number (`check_path_remap`).
        let is_seen = name.components().nth(2) == Some(Component::Normal(first));
        Some(Self {
            number,
            thread,
            directory: mount.mount_point.join(first),
            has_helper: is_seen && thread.is_none() && !only_of_living,
        })
    }

    fn look(
        self,
        one: &FileUse,
        viewer: &Viewer,
        numbers: &Numbers,
        patience: &Patience,
    ) -> ProcFile {
        let stripped = strip_deleted(&one.name);
        let name = stripped.unwrap_or(&one.name);
        let now = viewer.look(name, true, patience);
        let exists = || {
            let directory = viewer.look(self.directory.as_os_str(), true, patience);
            directory != Found::Nothing
        };
        let owner = if numbers.processes.contains(&self.number) {
            Owner::Process
        } else if numbers.threads.contains(&self.number) {
            Owner::Thread
        } else if exists() {
            Owner::Outside
        } else {
            Owner::Nobody
        };
        ProcFile {
            number: self.number,
            thread: self.thread,
            is_there: now == Found::File(one.device, one.inode),
            owner,
            looks_deleted: stripped.is_some(),
            has_helper: self.has_helper,
        }
    }
}

/// The kernel's own: digits only, and no zero before them (`name_to_int`).
fn numeric(name: &OsStr) -> Option<i32> {
    let name = name.to_str()?;
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0');
    is_number.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::UseKind;
    use proptest::prelude::*;

    fn held(name: &OsStr) -> FileUse {
        FileUse {
            pid: 7,
            kind: UseKind::Fd(3),
            device: Device { major: 0, minor: 9 },
            inode: 5,
            mount_id: 1,
            name: name.into(),
            links: 1,
            size_bytes: 0,
            allocated_bytes: 0,
            mode: 0o100_444,
        }
    }

    fn place(root: &str, mount_point: &str, kind: &str, name: &OsStr) -> Option<Place> {
        let mount = MountEntry {
            id: 1,
            parent: 0,
            device: Device { major: 0, minor: 9 },
            root: root.into(),
            mount_point: mount_point.into(),
            options: String::new(),
            fs_type: kind.into(),
            super_options: String::new(),
        };
        Place::of(&held(name), &mount)
    }

    fn at(name: &str) -> Option<(i32, Option<i32>, bool)> {
        let place = place("/", "/proc", "proc", name.as_ref())?;
        Some((place.number, place.thread, place.has_helper))
    }

    #[test]
    fn the_process_and_the_thread_are_in_the_path() {
        assert_eq!(at("/proc/12/status"), Some((12, None, true)));
        assert_eq!(at("/proc/12 (deleted)"), Some((12, None, true)));
        assert_eq!(at("/proc/1/net/dev (deleted)"), Some((1, None, true)));
        assert_eq!(at("/proc/12/task"), Some((12, None, true)));
        assert_eq!(at("/proc/12/task/12/stat"), Some((12, None, true)));
        assert_eq!(
            at("/proc/12/task/13 (deleted)"),
            Some((12, Some(13), false))
        );
        assert_eq!(at("/proc/12/fd"), Some((12, None, true)));
        assert_eq!(at("/proc/12/fd/3"), Some((12, None, false)));
        for other in ["/proc", "/proc/meminfo", "/proc/sys/kernel/7", "/proc/07"] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn criu_sees_only_a_proc_at_the_root() {
        let at = |root, point, name: &str| {
            let place = place(root, point, "proc", name.as_ref())?;
            Some((place.number, place.has_helper))
        };
        assert_eq!(at("/", "/other", "/other/3/stat"), Some((3, true)));
        assert_eq!(at("/", "/mnt/proc", "/mnt/proc/3/stat"), Some((3, false)));
        // The directory of one process, bound.
        assert_eq!(at("/3", "/one", "/one/stat"), Some((3, false)));
        assert_eq!(at("/sys", "/proc/sys", "/proc/sys/3"), None);
        assert_eq!(place("/", "/proc", "tmpfs", "/proc/3".as_ref()), None);
    }

    proptest! {
        #[test]
        fn odd_names_do_no_harm(name in prop::collection::vec(any::<u8>(), 0..40)) {
            use std::os::unix::ffi::OsStringExt;
            place("/", "/", "proc", &OsString::from_vec(name));
        }
    }
}

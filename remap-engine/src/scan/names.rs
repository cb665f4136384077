//! Names that look deleted: whether they are.
//!
//! The kernel adds ` (deleted)` to a name whose entry in its cache is not valid any more (`d_path`).
//! A file system that can change behind its back (FUSE, as lxcfs is, NFS) makes entries invalid
//! whose files are still there, and an entry of `cgroup` or `sysfs` that is gone does not always
//! look so.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use rustix::fs::FileType;

use super::patience::Patience;
use super::viewers::{Found, Viewer, Viewers};
use crate::mountinfo::Device;
use crate::process::{FileUse, Process, strip_deleted};

/// The state of a name by which a file is held that has names. What CRIU makes of it is decided by
/// what the name, as it is shown, leads to (`check_path_remap`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameState {
    /// The name, as shown, leads to the inode.
    Live,
    /// Only the name without the suffix leads to the inode: the kernel's entry is stale.
    Stale,
    /// Neither does.
    Gone,
    /// The name, as shown, leads to another file.
    Taken,
    /// CRIU cannot look for the name, as shown: it is too long, or leads through a file.
    NoWay,
    /// The file system does not answer.
    NoAnswer,
    /// The file was moved out of what the mount shows of its file system. The kernel then shows no path
    /// that leads there (`prepend_path`), also when it is removed later.
    Outside,
}

/// What became of every name that ends in ` (deleted)`, or can be gone without that.
#[derive(Debug, Clone, Default)]
pub struct DeletedNames(HashMap<(Device, u64, OsString), NameState>);

/// File systems of the kernel in which files come and go without their users.
const OF_THE_KERNEL: [&str; 3] = ["cgroup", "cgroup2", "sysfs"];

/// How long stale names are looked at again, in which steps.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(2),
    Duration::from_millis(8),
    Duration::from_millis(30),
];

impl DeletedNames {
    /// Looks for the names by which `uses` hold their files. A name of which the look itself has
    /// made that it does not look deleted any more is replaced in `uses`.
    pub(super) fn look(
        tree: &[Process],
        viewers: &Viewers,
        uses: &mut [FileUse],
        patience: &Patience,
    ) -> Self {
        let mut names = Self::default();
        let mut stale = Vec::new();
        for (index, one) in uses.iter().enumerate() {
            let Some(viewer) = viewers.find(one) else {
                continue;
            };
            if is_of_interest(one, viewer) && !names.0.contains_key(&key(one)) {
                let state = state_of(one, viewer, patience);
                names.0.insert(key(one), state);
            }
            if names.state(one) == Some(NameState::Stale) {
                stale.push(index);
            }
        }
        for pause in RETRIES {
            stale.retain(|index| {
                let one = uses.get_mut(*index);
                one.is_some_and(|one| !names.refresh(tree, viewers, one, patience))
            });
            if stale.is_empty() || !patience.pause(pause) {
                break;
            }
        }
        names
    }

    /// Looks at a stale name again: a directory's entry becomes valid by that (`d_splice_alias`).
    /// Says whether it is stale no more.
    fn refresh(
        &mut self,
        tree: &[Process],
        viewers: &Viewers,
        one: &mut FileUse,
        patience: &Patience,
    ) -> bool {
        let Some(viewer) = viewers.find(one) else {
            return true;
        };
        let holder = tree.iter().find(|process| process.pid() == one.pid);
        // Another way of holding the same inode may have shown the same name.
        let Some(Ok(Some(now))) = holder.map(|holder| holder.file_use(one.kind.clone())) else {
            return true;
        };
        let is_same = (now.device, now.inode) == (one.device, one.inode);
        if is_same && now.name != one.name {
            one.name = now.name;
        }
        let state = state_of(one, viewer, patience);
        self.0.insert(key(one), state);
        state != NameState::Stale
    }

    /// Notes the state of a name, if it looks deleted and is not known.
    #[cfg(test)]
    pub(crate) fn note(&mut self, one: &FileUse, state: impl FnOnce(&FileUse) -> NameState) {
        if strip_deleted(&one.name).is_some() {
            self.0.entry(key(one)).or_insert_with(|| state(one));
        }
    }

    /// The state of the name by which a file is held; `None` if there is nothing special about it.
    #[must_use]
    pub fn state(&self, one: &FileUse) -> Option<NameState> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&key(one)).copied()
    }
}

fn key(one: &FileUse) -> (Device, u64, OsString) {
    (one.device, one.inode, one.name.clone())
}

/// A file without names needs no look but for where it was; those of processes have one of their own.
fn is_of_interest(one: &FileUse, viewer: &Viewer) -> bool {
    let Some(mount) = viewer.mount(one) else {
        return false;
    };
    let can_be_gone = OF_THE_KERNEL.contains(&&*mount.fs_type);
    let looks_gone = can_be_gone || strip_deleted(&one.name).is_some();
    !matches!(&*mount.fs_type, "proc" | "devpts")
        && (viewer.is_outside(one) || (one.links > 0 && looks_gone))
}

fn state_of(one: &FileUse, viewer: &Viewer, patience: &Patience) -> NameState {
    if viewer.is_outside(one) {
        return NameState::Outside;
    }
    // As CRIU does it.
    let nofollow = FileType::from_raw_mode(one.mode) == FileType::Symlink;
    let own = Found::File(one.device, one.inode);
    match viewer.look(&one.name, nofollow, patience) {
        found if found == own => NameState::Live,
        Found::File(..) => NameState::Taken,
        Found::NoWay => NameState::NoWay,
        Found::NoAnswer => NameState::NoAnswer,
        Found::Nothing => {
            let stripped = strip_deleted(&one.name);
            let found = stripped.map(|name| viewer.look(name, nofollow, patience));
            match found {
                Some(found) if found == own => NameState::Stale,
                Some(Found::NoAnswer) => NameState::NoAnswer,
                _ => NameState::Gone,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::UseKind;
    use std::fs::{self, File};
    use std::path::Path;

    /// The state of the name by which this very process holds a file.
    fn state(file: &File) -> Option<NameState> {
        let own = i32::try_from(std::process::id()).unwrap();
        let tree = [Process::pin(own).unwrap()];
        let viewers = Viewers::of(&tree).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(file).unsigned_abs();
        let held = tree[0].file_use(UseKind::Fd(fd)).unwrap().unwrap();
        let mut uses = vec![held];
        let patience = Patience::new(Duration::from_secs(600));
        let names = DeletedNames::look(&tree, &viewers, &mut uses, &patience);
        names.state(&uses[0])
    }

    /// A file whose name `path` is gone while another one lives.
    fn gone(path: &Path) -> File {
        let file = File::create(path).unwrap();
        fs::hard_link(path, path.with_file_name("other")).unwrap();
        fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn what_the_name_leads_to_decides() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = |name: &str| {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            dir.path().join(name).join("name")
        };
        let file = gone(&at("gone"));
        assert_eq!(state(&file), Some(NameState::Gone));
        // The name is used again: it is gone all the same.
        fs::write(at("gone"), "another").unwrap();
        assert_eq!(state(&file), Some(NameState::Gone));
        fs::write(dir.path().join("gone/name (deleted)"), "another").unwrap();
        assert_eq!(state(&file), Some(NameState::Taken));

        let long = dir.path().join("n".repeat(250));
        assert_eq!(state(&gone(&long)), Some(NameState::NoWay));

        let file = gone(&at("through"));
        fs::rename(dir.path().join("through/other"), dir.path().join("moved")).unwrap();
        fs::remove_dir(dir.path().join("through")).unwrap();
        fs::write(dir.path().join("through"), "").unwrap();
        assert_eq!(state(&file), Some(NameState::NoWay));
    }

    #[test]
    fn a_name_that_is_alive_or_of_a_file_without_any_needs_no_care() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = File::create(dir.path().join("alive (deleted)")).unwrap();
        assert_eq!(state(&file), Some(NameState::Live));
        let file = File::create(dir.path().join("alive")).unwrap();
        assert_eq!(state(&file), None);
        fs::remove_file(dir.path().join("alive")).unwrap();
        assert_eq!(state(&file), None);
        assert_eq!(state(&File::open("/proc/self/status").unwrap()), None);
    }
}

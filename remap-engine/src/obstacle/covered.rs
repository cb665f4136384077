//! Files that another mount covers.
//!
//! CRIU opens a file again by its path, and refuses one on a mount that is hidden as a whole
//! (`mnt_is_overmounted`), and one at whose path there is another file now (`check_path_remap`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Found, Held, Kind};
use crate::mountinfo::MountEntry;
use crate::process::{FileUse, Process, ProcessError};

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let mut namespaces: HashMap<OsString, (&Process, Mounts)> = HashMap::new();
    for one in held.living() {
        // The names of files begin at the root of the namespace, and so must the view.
        if one.process.link("root")? != "/" {
            continue;
        }
        if let Entry::Vacant(new) = namespaces.entry(one.process.link("ns/mnt")?) {
            new.insert((one.process, Mounts::new(one.process.mounts()?)));
        }
    }
    for (process, one) in held.uses() {
        let mut namespaces = namespaces.values();
        let Some((viewer, mounts)) = namespaces.find(|(_, mounts)| mounts.has(one)) else {
            continue;
        };
        let is_other = || {
            let now = viewer.at_path(Path::new(&one.name));
            now.is_some_and(|now| now != (one.device, one.inode))
        };
        if mounts.hidden.contains(&one.mount_id) || (mounts.may_cover(one) && is_other()) {
            found.held(Kind::Covered, process, one);
        }
    }
    Ok(())
}

/// The mounts of a namespace.
struct Mounts {
    by_id: HashMap<u64, MountEntry>,
    /// The mounts on each mount.
    children: HashMap<u64, Vec<u64>>,
    /// The mounts no file of which can be reached by its path.
    hidden: HashSet<u64>,
}

impl Mounts {
    fn new(entries: Vec<MountEntry>) -> Self {
        let mut children: HashMap<u64, Vec<u64>> = HashMap::new();
        for mount in &entries {
            children.entry(mount.parent).or_default().push(mount.id);
        }
        let by_id = entries.into_iter().map(|mount| (mount.id, mount)).collect();
        let mut mounts = Self {
            by_id,
            children,
            hidden: HashSet::new(),
        };
        let ids = mounts.by_id.keys().copied();
        mounts.hidden = ids.filter(|id| mounts.is_hidden(*id)).collect();
        mounts
    }

    fn has(&self, one: &FileUse) -> bool {
        self.by_id.contains_key(&one.mount_id)
    }

    fn children(&self, id: u64) -> impl Iterator<Item = &MountEntry> {
        let ids = self.children.get(&id).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }

    /// As `mnt_is_overmounted` sees it.
    fn is_hidden(&self, id: u64) -> bool {
        let Some(mount) = self.by_id.get(&id) else {
            return false;
        };
        // Something is mounted on its own root.
        if self
            .children(id)
            .any(|child| child.mount_point == mount.mount_point)
        {
            return true;
        }
        // Beside it, or beside one below it, something is mounted further up. A tree is not
        // deeper than it has mounts.
        let mut lower = mount;
        for _ in 0..self.by_id.len() {
            let Some(parent) = self.by_id.get(&lower.parent) else {
                break;
            };
            let above = |other: &MountEntry| {
                other.id != lower.id && lower.mount_point.starts_with(&other.mount_point)
            };
            if self.children(parent.id).any(above) {
                return true;
            }
            lower = parent;
        }
        false
    }

    /// Whether a mount on that of the file is at the file's path, or further up, and it does not
    /// block to look there: a FUSE server may be frozen.
    fn may_cover(&self, one: &FileUse) -> bool {
        let Some(own) = self.by_id.get(&one.mount_id) else {
            return false;
        };
        // Of these CRIU does not look at the path (`check_path_remap`), nor at that of a file
        // that has no name.
        let has_path = one.links > 0 && !matches!(&*own.fs_type, "proc" | "devpts");
        let is_above = |mount: &MountEntry| {
            let (name, point) = (
                one.name.as_bytes(),
                mount.mount_point.as_os_str().as_bytes(),
            );
            // To compare the bytes first is faster by far, and tells nearly all.
            name.starts_with(point) && Path::new(&one.name).starts_with(&mount.mount_point)
        };
        has_path
            && self.children(own.id).any(is_above)
            && !self
                .by_id
                .values()
                .filter(|mount| is_above(mount))
                .any(MountEntry::may_block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;
    use crate::process::UseKind;
    use proptest::prelude::*;

    fn mounts(lines: &[(u64, u64, &str, &str)]) -> Mounts {
        let line = |(id, parent, point, kind): &(u64, u64, &str, &str)| {
            format!("{id} {parent} 0:{id} / {point} rw - {kind} none rw\n")
        };
        let text: String = lines.iter().map(line).collect();
        Mounts::new(mountinfo::parse(text.as_bytes()).unwrap())
    }

    fn hidden(lines: &[(u64, u64, &str, &str)]) -> Vec<u64> {
        let mut hidden: Vec<u64> = mounts(lines).hidden.into_iter().collect();
        hidden.sort_unstable();
        hidden
    }

    const ROOT: (u64, u64, &str, &str) = (1, 0, "/", "overlay");

    #[test]
    fn a_mount_under_another_one_is_hidden_with_all_that_is_on_it() {
        assert_eq!(
            hidden(&[ROOT, (2, 1, "/a", "tmpfs"), (3, 1, "/ab", "tmpfs")]),
            [0; 0]
        );
        assert_eq!(
            hidden(&[ROOT, (2, 1, "/a", "tmpfs"), (3, 2, "/a/b", "tmpfs")]),
            [0; 0]
        );
        // On its very root.
        assert_eq!(
            hidden(&[ROOT, (2, 1, "/a", "tmpfs"), (3, 2, "/a", "tmpfs")]),
            [2]
        );
        // On a directory further up, afterwards.
        let lines = [
            ROOT,
            (2, 1, "/a/b", "tmpfs"),
            (3, 2, "/a/b/c", "tmpfs"),
            (4, 1, "/a", "tmpfs"),
        ];
        assert_eq!(hidden(&lines), [2, 3]);
    }

    fn held(mount_id: u64, name: &str, links: u32) -> FileUse {
        FileUse {
            pid: 7,
            kind: UseKind::Fd(3),
            device: mountinfo::Device { major: 0, minor: 9 },
            inode: 5,
            mount_id,
            name: name.into(),
            links,
            size_bytes: 0,
            allocated_bytes: 0,
            mode: 0o100_600,
        }
    }

    #[test]
    fn a_path_is_looked_at_only_if_something_is_mounted_on_the_way_to_it() {
        let all = mounts(&[
            ROOT,
            (2, 1, "/a", "tmpfs"),
            (3, 1, "/f", "fuse.x"),
            (5, 1, "/proc", "proc"),
            (6, 5, "/proc/kcore", "tmpfs"),
        ]);
        assert!(all.may_cover(&held(1, "/a/file", 1)));
        assert!(!all.may_cover(&held(1, "/b/file", 1)));
        assert!(!all.may_cover(&held(1, "/a/file", 0)));
        assert!(!all.may_cover(&held(2, "/a/file", 1)));
        assert!(!all.may_cover(&held(1, "/f/file", 1)));
        assert!(!all.may_cover(&held(5, "/proc/kcore", 1)));
        assert!(!all.may_cover(&held(9, "/a/file", 1)));
    }

    proptest! {
        /// Whatever a mountinfo says, even in circles.
        #[test]
        fn odd_trees_do_no_harm(
            lines in prop::collection::vec((0u64..6, 0u64..6, prop::sample::select(vec!["/", "/a", "/a/b"])), 0..8),
        ) {
            let lines: Vec<_> = lines.iter().map(|(id, parent, point)| (*id, *parent, *point, "tmpfs")).collect();
            mounts(&lines);
        }
    }
}

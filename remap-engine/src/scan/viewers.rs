//! Through whose eyes the name of a file is looked up.
//!
//! A name begins at the root of the mount namespace in which the file was opened, so somebody has to
//! be asked who lives there: not always init.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::patience::Patience;
use crate::mountinfo::{Device, MountEntry};
use crate::process::{FileUse, Process, ProcessError, SoleMounts};

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A file, by its device and inode.
    File(Device, u64),
    /// There is none.
    Nothing,
    /// The path cannot be walked.
    NoWay,
    /// The file system does not answer in time.
    NoAnswer,
}

/// One process for each view of the file system that there is in the container.
pub(super) struct Viewers<'t>(Vec<Viewer<'t>>);

/// A process, and what it sees.
pub(super) struct Viewer<'t> {
    process: &'t Process,
    /// Its root, in the names of its namespace.
    root: PathBuf,
    /// By their ids.
    mounts: HashMap<u64, MountEntry>,
}

impl<'t> Viewers<'t> {
    /// Those of the tree, those first that see most.
    pub(super) fn of(tree: &'t [Process]) -> Result<Self, ProcessError> {
        let mut views: HashSet<[OsString; 2]> = HashSet::new();
        let mut all = Vec::new();
        for process in tree.iter().filter(|process| !process.has_ended()) {
            let (namespace, root) = (process.link("ns/mnt")?, process.link("root")?);
            if views.insert([namespace, root.clone()]) {
                let mounts = process.mounts()?.into_iter();
                all.push(Viewer {
                    process,
                    root: root.into(),
                    mounts: mounts.map(|mount| (mount.id, mount)).collect(),
                });
            }
        }
        all.sort_by_key(|viewer: &Viewer| viewer.root.as_os_str().len());
        Ok(Self(all))
    }

    /// Whether there is a file system whose server may change it behind the kernel's back.
    pub(super) fn may_block(&self) -> bool {
        let mut mounts = self.0.iter().flat_map(|viewer| viewer.mounts.values());
        mounts.any(MountEntry::may_block)
    }

    /// The mounts on which one look at an inode is enough.
    pub(super) fn sole_mounts(&self) -> SoleMounts {
        SoleMounts::of(self.0.iter().flat_map(|viewer| viewer.mounts.values()))
    }

    /// One who sees the mount of the file.
    pub(super) fn find(&self, one: &FileUse) -> Option<&Viewer<'t>> {
        let sees = |viewer: &&Viewer| viewer.mount(one).is_some() && viewer.has_below(&one.name);
        // What is shown of a file that was moved out of its mount begins nowhere.
        let has = |viewer: &&Viewer| viewer.mount(one).is_some();
        let all = || self.0.iter();
        all().find(sees).or_else(|| all().find(has))
    }
}

impl Viewer<'_> {
    /// Whether a name is below its root.
    fn has_below(&self, name: &OsStr) -> bool {
        // To compare the parts of paths takes long, and nearly every root is this one.
        if self.root == Path::new("/") {
            name.as_encoded_bytes().starts_with(b"/")
        } else {
            Path::new(name).starts_with(&self.root)
        }
    }

    /// The mount of the file.
    pub(super) fn mount(&self, one: &FileUse) -> Option<&MountEntry> {
        self.mounts.get(&one.mount_id)
    }

    /// Whether the name of the file is not below its mount, which shows a part of a file system.
    pub(super) fn is_outside(&self, one: &FileUse) -> bool {
        self.mount(one).is_some_and(|mount| {
            let point = mount.mount_point.strip_prefix("/");
            let point = point.map_or_else(|_| self.root.clone(), |below| self.root.join(below));
            mount.root != Path::new("/") && !Path::new(&one.name).starts_with(point)
        })
    }

    /// What is at `name`; the link itself if it is a symbolic one and `nofollow` says so.
    pub(super) fn look(&self, name: &OsStr, nofollow: bool, patience: &Patience) -> Found {
        let Ok(below) = Path::new(name).strip_prefix(&self.root) else {
            return Found::NoWay;
        };
        let path = Path::new("/").join(below);
        let on_the_way = |mount: &&MountEntry| path.starts_with(&mount.mount_point);
        let mut on_the_way = self.mounts.values().filter(on_the_way);
        let found = if on_the_way.any(MountEntry::may_block) {
            let Ok(process) = self.process.try_clone() else {
                return Found::NoAnswer;
            };
            patience.wait_for(move || process.look_up(&path, nofollow))
        } else {
            Some(self.process.look_up(&path, nofollow))
        };
        match found {
            Some(Ok((device, inode))) => Found::File(device, inode),
            Some(Err(rustix::io::Errno::NOENT)) => Found::Nothing,
            Some(Err(_)) => Found::NoWay,
            None => Found::NoAnswer,
        }
    }
}

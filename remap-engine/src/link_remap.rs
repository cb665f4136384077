//! Names that CRIU gives to files while it dumps, and leaves when it is killed.
//!
//! For a file whose opened name is gone CRIU links the inode as `link_remap.ID` into the directory
//! of that name, or, if that is gone too, into the next above it (`dump_linked_remap`). It removes
//! the link when the container goes on, and leaves it when the container ends. If it is killed the
//! link stays, too, and the next dump fails with `File exists`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};

use crate::mountinfo::Device;
use crate::plan::{FilePlan, RemapPlan};
use crate::process::{Process, device_of, strip_deleted};

/// The places where a dump may link inodes that the container holds. They stay reachable after the
/// container's end.
#[derive(Debug)]
pub struct LinkRemaps {
    places: Vec<Place>,
}

/// A directory and an inode that CRIU may link there.
#[derive(Debug)]
struct Place {
    dir: OwnedFd,
    inode: (Device, u64),
}

impl LinkRemaps {
    /// Opens the places. `root` is the container's init.
    #[must_use]
    pub fn locate(root: &Process, plan: &RemapPlan) -> Self {
        Self::open(plan, |dir| root.open_dir(dir).ok())
    }

    /// The same for a container that may have ended, with those that can be reached then: on mounts
    /// that come from the host.
    #[must_use]
    pub fn locate_left(root: Option<&Process>, plan: &RemapPlan) -> Self {
        Self::open(plan, |dir| {
            let seen = root.and_then(|root| root.open_dir(dir).ok());
            seen.or_else(|| open_on_host(dir, plan))
        })
    }

    fn open(plan: &RemapPlan, open: impl Fn(&Path) -> Option<OwnedFd>) -> Self {
        let linked = plan.files.iter().filter(|file| file.links > 0);
        let places = linked.flat_map(|file| {
            // A directory that is gone holds no names.
            let dirs = directories(file).into_iter();
            dirs.filter_map(|dir| {
                Some(Place {
                    dir: open(&dir)?,
                    inode: (file.device, file.inode),
                })
            })
        });
        Self {
            places: places.collect(),
        }
    }

    /// Removes the `link_remap.ID` names of those inodes; returns how many there were. Names of
    /// other inodes are never touched.
    ///
    /// # Errors
    /// A name cannot be removed; the others are tried all the same.
    pub fn remove(&self) -> rustix::io::Result<usize> {
        let mut removed = 0;
        let mut result = Ok(());
        for place in &self.places {
            match place.remove() {
                Ok(count) => removed += count,
                Err(error) => result = Err(error),
            }
        }
        result.map(|()| removed)
    }
}

/// Opens the directory that is `dir` in the container. What the container has put on the way there
/// does not lead elsewhere.
fn open_on_host(dir: &Path, plan: &RemapPlan) -> Option<OwnedFd> {
    let mounts = plan.map.mounts.iter();
    let above = mounts.filter(|mount| dir.starts_with(&mount.destination));
    // The last of those at one place covers the others.
    let mount = above.max_by_key(|mount| mount.destination.components().count())?;
    let source = mount.source.as_ref()?;
    let below = dir.strip_prefix(&mount.destination).ok()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::open(source, flags, Mode::empty()).ok()?;
    if below.as_os_str().is_empty() {
        return Some(source);
    }
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(source, below, flags, Mode::empty(), beneath).ok()
}

/// Where CRIU may have linked the inode: the directories of its gone names and those above.
fn directories(file: &FilePlan) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = file
        .holders
        .iter()
        .filter_map(|holder| strip_deleted(&holder.name))
        .flat_map(|name| Path::new(name).ancestors().skip(1).map(Path::to_owned))
        .collect();
    directories.sort();
    directories.dedup();
    directories
}

impl Place {
    fn remove(&self) -> rustix::io::Result<usize> {
        let mut removed = 0;
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if is_link_remap(name) && identity(&self.dir, name) == Some(self.inode) {
                rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Whether a name has the form that CRIU makes.
pub(crate) fn is_link_remap(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(b"link_remap.");
    digits.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

fn identity(dir: impl AsFd, name: &OsStr) -> Option<(Device, u64)> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS).ok()?;
    let device = device_of(&stat);
    Some((device, stat.stx_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountmap::{Mount, MountClass, MountMap};
    use crate::plan::{Decision, Holder, PLAN_VERSION};
    use crate::process::UseKind;

    /// A directory on a tmpfs with a file that has been opened by a name that is gone, and
    /// names that look like CRIU's.
    fn ground() -> (tempfile::TempDir, Process, RemapPlan) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("below")).unwrap();
        std::fs::write(path("live"), b"x").unwrap();
        std::fs::write(path("link_remap.7"), b"a file of the user's").unwrap();
        for name in ["link_remap.12", "link_remap.x", "below/link_remap.12"] {
            std::fs::hard_link(path("live"), path(name)).unwrap();
        }
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (device, inode) = own.identity(&path("live")).unwrap();
        let mut gone = path("below/gone").into_os_string();
        gone.push(" (deleted)");
        let plan = RemapPlan {
            version: PLAN_VERSION,
            map: MountMap::default(),
            files: vec![FilePlan {
                device,
                inode,
                mount: None,
                links: 2,
                size_bytes: 1,
                allocated_bytes: 4096,
                holders: vec![Holder {
                    pid: own.pid(),
                    by: UseKind::Fd(3),
                    name: gone,
                }],
                decision: Decision::Carried,
            }],
            exec_sessions: vec![],
            obstacles: vec![],
            ghost_limit_bytes: 0,
        };
        (dir, own, plan)
    }

    fn assert_only_links_of_held_inodes_go(dir: &Path, links: &LinkRemaps) {
        assert_eq!(links.remove().unwrap(), 2);
        assert!(!dir.join("link_remap.12").exists() && !dir.join("below/link_remap.12").exists());
        assert!(dir.join("link_remap.7").exists() && dir.join("link_remap.x").exists());
        assert_eq!(links.remove().unwrap(), 0);
    }

    #[test]
    fn only_links_of_held_inodes_go() {
        let (dir, own, plan) = ground();
        assert_only_links_of_held_inodes_go(dir.path(), &LinkRemaps::locate(&own, &plan));
    }

    /// A container that called the directory by another name, and has ended.
    fn ended(dir: &Path, mut plan: RemapPlan, gone: &str) -> RemapPlan {
        let inside = Path::new("/in the container");
        plan.files[0].holders[0].name = inside.join(gone).into();
        plan.map.mounts.push(Mount {
            destination: inside.to_owned(),
            id: 1,
            device: plan.files[0].device,
            root: "/".into(),
            fs_type: "tmpfs".into(),
            fs_options: String::new(),
            asked_for: Some(inside.to_owned()),
            source: Some(dir.to_owned()),
            class: MountClass::ExternalTmpfsPrivate,
            policy: None,
            along: false,
            upon_bind: false,
        });
        plan
    }

    #[test]
    fn they_are_found_after_the_end_of_the_container() {
        let (dir, _, plan) = ground();
        let plan = ended(dir.path(), plan, "below/gone (deleted)");
        assert_only_links_of_held_inodes_go(dir.path(), &LinkRemaps::locate_left(None, &plan));
    }

    #[test]
    fn a_symbolic_link_of_the_containers_does_not_lead_elsewhere() {
        let (dir, _, plan) = ground();
        std::os::unix::fs::symlink("below", dir.path().join("elsewhere")).unwrap();
        let plan = ended(dir.path(), plan, "elsewhere/gone (deleted)");
        // Above the link there is one of CRIU's.
        assert_eq!(LinkRemaps::locate_left(None, &plan).remove().unwrap(), 1);
        assert!(dir.path().join("below/link_remap.12").exists());
    }
}

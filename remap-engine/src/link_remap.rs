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

use rustix::fs::{AtFlags, StatxFlags};

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
        let linked = plan.files.iter().filter(|file| file.links > 0);
        let places = linked.flat_map(|file| {
            // A directory that is gone holds no names.
            directories(file).into_iter().filter_map(|dir| {
                Some(Place {
                    dir: root.open_dir(&dir).ok()?,
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
fn is_link_remap(name: &OsStr) -> bool {
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
    use crate::mountmap::MountMap;
    use crate::plan::{Decision, Holder, PLAN_VERSION};
    use crate::process::UseKind;

    #[test]
    fn only_links_of_held_inodes_go() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("live"), b"x").unwrap();
        std::fs::write(path("link_remap.7"), b"a file of the user's").unwrap();
        std::fs::hard_link(path("live"), path("link_remap.12")).unwrap();
        std::fs::hard_link(path("live"), path("link_remap.x")).unwrap();
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let (device, inode) = own.identity(&path("live")).unwrap();
        let mut gone = path("gone").into_os_string();
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
        let links = LinkRemaps::locate(&own, &plan);
        assert_eq!(links.remove().unwrap(), 1);
        assert!(!path("link_remap.12").exists());
        assert!(path("link_remap.7").exists() && path("link_remap.x").exists());
        assert_eq!(links.remove().unwrap(), 0);
    }
}

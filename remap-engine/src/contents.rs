//! Captures the contents of all carried mounts of a frozen container.

mod nested;
mod sockets;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::carry::{self, CaptureError, Captured, Measured};
use crate::mountinfo::Device;
use crate::mountmap::Mount;
use crate::plan::{Refusal, RemapPlan};
use crate::private;
use crate::process::Process;
use crate::reconcile::CarriedNames;
use crate::scan::{self, ScanError};

/// The contents of one carried file system.
#[derive(Debug)]
pub struct CapturedMount {
    /// The mounts that show it, or a part of it: two binds of one directory are one archive, as are
    /// those of a directory and of one in it. The first shows all of it.
    pub mounts: Vec<Mount>,
    /// Name of the archive in the image directory.
    pub archive: String,
    /// Whether it holds only the container's own files.
    pub partial: bool,
    /// What is in it.
    pub captured: Captured,
}

/// What would be carried of one file system.
#[derive(Debug)]
pub struct MeasuredMount {
    /// The mounts that show it.
    pub mounts: Vec<Mount>,
    /// Whether these are only the container's own files.
    pub partial: bool,
    /// The inodes, with the bytes that each has allocated.
    pub sizes: HashMap<u64, u64>,
    /// Names of sockets below the first of the mounts, if all of it is carried.
    pub sockets: Vec<PathBuf>,
}

/// The contents of a mount cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// The mount cannot be opened.
    #[error(transparent)]
    Open(#[from] ScanError),
    /// The archive cannot be made.
    #[error("cannot make {path}")]
    Create {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read, or the archive cannot be written.
    #[error("cannot save the contents of {destination}")]
    Capture {
        /// Mount point.
        destination: PathBuf,
        /// Why.
        #[source]
        source: CaptureError,
    },
    /// A file cannot be looked at.
    #[error("cannot measure the contents of {destination}")]
    Measure {
        /// Mount point.
        destination: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two mounts show different parts of one file system, and share an inode.
    #[error(transparent)]
    Split(#[from] Split),
}

/// Two mounts show different parts of one file system, and an inode has a name in both.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.refusal())]
pub struct Split {
    /// The inode.
    pub inode: u64,
    /// Mount point.
    pub one: PathBuf,
    /// Mount point.
    pub other: PathBuf,
}

impl Split {
    /// Finds one among parts of file systems: the device, a mount point that shows the part, and
    /// the inodes that have a name in it.
    pub(crate) fn find<'p, I: IntoIterator<Item = u64>>(
        parts: impl IntoIterator<Item = (Device, &'p Path, I)>,
    ) -> Option<Self> {
        let mut seen: HashMap<(Device, u64), &Path> = HashMap::new();
        for (device, destination, inodes) in parts {
            for inode in inodes {
                if let Some(other) = seen.insert((device, inode), destination) {
                    return Some(Self {
                        inode,
                        one: other.to_owned(),
                        other: destination.to_owned(),
                    });
                }
            }
        }
        None
    }

    /// What is said of it.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let (one, other) = (self.one.display(), self.other.display());
        Refusal {
            what: format!(
                "inode {} has names on {one} and on {other}, which are carried apart: it would become two files",
                self.inode
            ),
            remedy: "bind the directory that holds both, or remove one name".into(),
        }
    }
}

/// Name of an archive in the image directory.
pub(crate) fn archive_name(index: usize) -> String {
    format!("remap-mount-{index}.tar")
}

/// The carried mounts, opened: they can be read also after the container's end.
#[derive(Debug)]
pub struct CarriedMounts(Vec<CarriedMount>);

#[derive(Debug)]
struct CarriedMount {
    mount: Mount,
    dir: Uncovered,
    /// The inodes to be saved; none if all of them are.
    only: Option<HashSet<u64>>,
}

impl CarriedMounts {
    /// Opens the carried mounts of a container. `root` is its init.
    ///
    /// # Errors
    /// One cannot be opened, or is covered by another mount.
    pub fn open(root: &Process, plan: &RemapPlan) -> Result<Self, ContentsError> {
        let open = |mount: &Mount, only| {
            let dir = scan::open_mount(root, mount)?;
            Ok(CarriedMount {
                mount: mount.clone(),
                dir: Uncovered::of(mount, dir),
                only,
            })
        };
        let whole = plan.map.carried().map(|mount| open(mount, None));
        let parts = plan.carried_in_part();
        let parts = parts.map(|(mount, inodes)| open(mount, Some(inodes)));
        whole.chain(parts).collect::<Result<_, _>>().map(Self)
    }

    /// Saves every mount into an archive `remap-mount-N.tar` of its own in `image_dir`.
    ///
    /// # Errors
    /// See [`ContentsError`]; archives that were made stay, for the caller to remove.
    pub fn capture(&self, image_dir: &Path) -> Result<Vec<CapturedMount>, ContentsError> {
        let mut done: Vec<CapturedMount> = Vec::new();
        for (mounts, first) in self.directories() {
            let archive = archive_name(done.len());
            let captured = capture_one(first, &image_dir.join(&archive))?;
            let captured = CapturedMount {
                mounts: mounts.into_iter().cloned().collect(),
                archive,
                partial: first.only.is_some(),
                captured,
            };
            captured.tell_of_sockets();
            done.push(captured);
        }
        check_whole(&done)?;
        Ok(done)
    }

    /// What [`CarriedMounts::capture`] would save into each archive, and what would make it fail in
    /// the end.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn measure(&self) -> Result<(Vec<MeasuredMount>, Option<Split>), ContentsError> {
        let mut done: Vec<MeasuredMount> = Vec::new();
        for (mounts, first) in self.directories() {
            let measured = carry::measure(first.dir.root.as_fd());
            let measured = measured.map_err(|source| ContentsError::Measure {
                destination: first.mount.destination.clone(),
                source,
            })?;
            let Measured {
                mut sizes,
                mut sockets,
            } = measured;
            if let Some(only) = &first.only {
                sizes.retain(|inode, _| only.contains(inode));
                sockets.clear();
            }
            done.push(MeasuredMount {
                mounts: mounts.into_iter().cloned().collect(),
                partial: first.only.is_some(),
                sizes,
                sockets,
            });
        }
        let parts = done.iter().filter_map(|one| {
            let mount = one.mounts.first()?;
            let inodes = one.sizes.keys().copied();
            Some((mount.device, mount.destination.as_path(), inodes))
        });
        let split = Split::find(parts);
        Ok((done, split))
    }

    /// Each directory that is carried, once: all mounts that show it or one in it, and the first of
    /// them, which shows all.
    fn directories(&self) -> Vec<(Vec<&Mount>, &CarriedMount)> {
        let mut directories: Vec<(Vec<&Mount>, &CarriedMount)> = Vec::new();
        let mut carried: Vec<&CarriedMount> = self.0.iter().collect();
        carried.sort_by_key(|one| one.mount.root.components().count());
        for one in carried {
            let mount = &one.mount;
            let shows = |(_, first): &&mut (_, &CarriedMount)| first.saves_all_of(one);
            match directories.iter_mut().find(shows) {
                Some((mounts, _)) => mounts.push(mount),
                None => directories.push((vec![mount], one)),
            }
        }
        directories
    }
}

/// The root directory of a mount, without what is mounted below it: a mount point there belongs to
/// the contents, as CRIU mounts on it again.
#[derive(Debug)]
struct Uncovered {
    root: OwnedFd,
    /// The copy of the mount that `root` is in; it lives as long as this.
    copy: Option<OwnedFd>,
}

impl Uncovered {
    /// Looks through a copy of the mount behind the host's source. If the source leads elsewhere by
    /// now it stays with `dir`, the directory as the container sees it.
    fn of(mount: &Mount, dir: OwnedFd) -> Self {
        match copy_of(mount, &dir) {
            Ok(Some((root, copy))) => Self {
                root,
                copy: Some(copy),
            },
            Ok(None) => Self {
                root: dir,
                copy: None,
            },
            Err(error) => {
                let destination = mount.destination.display();
                tracing::warn!(%destination, %error, "mount points on a carried mount are left out");
                Self {
                    root: dir,
                    copy: None,
                }
            }
        }
    }
}

/// Copies the mount of the source, without those below it (open_tree(2)), and opens its root if that
/// is `dir`.
fn copy_of(mount: &Mount, dir: &OwnedFd) -> rustix::io::Result<Option<(OwnedFd, OwnedFd)>> {
    let Some(source) = &mount.source else {
        return Ok(None);
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = open_tree(CWD, source, flags)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(&copy, ".", flags, Mode::empty())?;
    let (found, wanted) = (fstat(&root)?, fstat(dir)?);
    let same = (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino);
    Ok(same.then_some((root, copy)))
}

fn capture_one(from: &CarriedMount, path: &Path) -> Result<Captured, ContentsError> {
    let out: File = private::create_file(path).map_err(|source| ContentsError::Create {
        path: path.to_owned(),
        source,
    })?;
    let dir = from.dir.root.as_fd();
    let captured = match &from.only {
        None => carry::capture(dir, out),
        Some(inodes) => carry::capture_inodes(dir, inodes, out),
    };
    captured.map_err(|source| ContentsError::Capture {
        destination: from.mount.destination.clone(),
        source,
    })
}

/// No inode may be in two archives.
fn check_whole(done: &[CapturedMount]) -> Result<(), Split> {
    let parts = done.iter().filter_map(|one| {
        let mount = one.mounts.first()?;
        let inodes: HashSet<u64> = one.captured.entries.iter().map(|entry| entry.ino).collect();
        Some((mount.device, mount.destination.as_path(), inodes))
    });
    Split::find(parts).map_or(Ok(()), Err)
}

/// The names that were saved, by the mounts that show them.
#[must_use]
pub fn names(done: &[CapturedMount]) -> CarriedNames {
    let mut names = CarriedNames::new();
    for one in done {
        for mount in &one.mounts {
            let below = one.shown_by(mount);
            let paths = one.captured.entries.iter();
            let paths = paths.filter_map(|entry| entry.path.strip_prefix(&below).ok());
            names.insert(mount.id, paths.map(Path::to_owned).collect());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_in_two_parts_of_one_file_system_is_found() {
        let device = |minor| Device { major: 0, minor };
        let part = |minor, path, inodes: &[u64]| (device(minor), Path::new(path), inodes.to_vec());
        let apart = [
            part(1, "/a", &[1, 2]),
            part(1, "/b", &[3]),
            part(2, "/c", &[2]),
        ];
        assert_eq!(Split::find(apart), None);
        let split = Split::find([part(1, "/a", &[1, 2]), part(1, "/b", &[3, 2])]).unwrap();
        assert_eq!(split.inode, 2);
        let text = split.to_string();
        assert!(
            text.contains("on /a and on /b") && text.contains("bind the directory"),
            "{text}"
        );
    }
}

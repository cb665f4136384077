//! Fits what a checkpoint carries to the mounts of the container on this host.

mod along;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags,
};

use crate::bundle::Bundle;
use crate::manifest::{CarriedMount, FileSystem};
use crate::mountinfo::{self, Device};
use crate::ownership::Extent;
use crate::process::device_of;
use crate::scan::inodes_below;

pub use self::along::along;

/// Where the contents of a carried mount go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The archive in the image directory.
    pub archive: String,
    /// The directory on this host.
    pub source: PathBuf,
    /// Its `st_dev`.
    pub device: Device,
    /// Its inode number.
    pub inode: u64,
    /// Whether it is the root of its file system.
    pub whole: bool,
    /// Whether only some of the files that were there are in the archive.
    pub partial: bool,
    /// The file system that they come from.
    pub origin: Option<FileSystem>,
    /// Numbers of the inodes that other containers share.
    pub shared: BTreeSet<u64>,
}

impl Place {
    /// What of the file system belongs to the place.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn extent(&self) -> io::Result<Extent> {
        if self.whole {
            Ok(Extent::Whole)
        } else {
            inodes_below(&self.source).map(Extent::Inodes)
        }
    }
}

/// A carried mount has no place here. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The container has no bind mount there.
    #[error(
        "the checkpoint carries the contents of {destination}, but the container has no bind mount there; add one from a tmpfs of this host"
    )]
    NoBind {
        /// Mount point.
        destination: PathBuf,
    },
    /// The source is missing or unusable.
    #[error(
        "the checkpoint carries the contents of {destination}, whose source on this host, {host_path}, cannot be used; make that directory and mount a tmpfs on it"
    )]
    Source {
        /// Mount point.
        destination: PathBuf,
        /// The source.
        host_path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The source is on another kind of file system.
    #[error(
        "the checkpoint carries the contents of {destination}, a tmpfs, but its source on this host, {host_path}, is on no tmpfs; mount one there"
    )]
    NotTmpfs {
        /// Mount point.
        destination: PathBuf,
        /// The source.
        host_path: PathBuf,
    },
    /// What the container had below a bind has no bind above it.
    #[error(
        "the container had {destination} from its host, below a bind, and has no bind above it here; add the one that it had"
    )]
    NoBindAbove {
        /// Mount point.
        destination: PathBuf,
    },
    /// What the container had below a bind is not there.
    #[error(
        "the container had {destination} from its host, below a bind, and its source on this host, {host_path}, cannot be used; mount it there, or make what it can be bound from"
    )]
    Along {
        /// Mount point.
        destination: PathBuf,
        /// The source.
        host_path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two mounts that were one file system are two here.
    #[error(
        "{destination} shared its files with another mount when the container was checkpointed; its source on this host, {host_path}, must be that mount's source, too: {expected}"
    )]
    Apart {
        /// Mount point.
        destination: PathBuf,
        /// The source.
        host_path: PathBuf,
        /// The source of the other.
        expected: PathBuf,
    },
}

/// Finds the place of each carried mount, those further up first; mounts that share an archive share a
/// place.
///
/// # Errors
/// See [`FitError`].
pub fn fit(bundle: &Bundle, carried: &[CarriedMount]) -> Result<Vec<Place>, FitError> {
    let mut places: Vec<Place> = Vec::new();
    let (parts, whole): (Vec<_>, Vec<_>) = carried.iter().partition(|mount| is_part(mount));
    for mount in whole.into_iter().chain(parts) {
        let place = place_of(bundle, mount)?;
        let known = places.iter().find(|known| known.archive == place.archive);
        match known {
            None => places.push(place),
            Some(known) if is_below(known, mount, &place) => {}
            Some(known) => {
                return Err(FitError::Apart {
                    destination: mount.destination.clone(),
                    host_path: place.source,
                    expected: known.source.join(&mount.below).components().collect(),
                });
            }
        }
    }
    // One may lie in another.
    places.sort_by_key(|place| place.source.components().count());
    Ok(places)
}

/// Whether a mount shows only a directory of its archive.
fn is_part(mount: &CarriedMount) -> bool {
    !mount.below.as_os_str().is_empty()
}

/// Whether the source of a mount is the directory that it shows of its archive. One that the archive
/// will make is a directory already, since it is a source.
fn is_below(whole: &Place, mount: &CarriedMount, place: &Place) -> bool {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let look = || -> rustix::io::Result<Statx> {
        let mut dir = rustix::fs::open(&whole.source, flags, Mode::empty())?;
        if is_part(mount) {
            dir = rustix::fs::openat2(dir, &mount.below, flags, Mode::empty(), beneath)?;
        }
        rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
    };
    look().is_ok_and(|stat| (device_of(&stat), stat.stx_ino) == (place.device, place.inode))
}

fn place_of(bundle: &Bundle, mount: &CarriedMount) -> Result<Place, FitError> {
    let destination = mount.destination.clone();
    let Some(host_path) = bundle.host_path(&destination) else {
        return Err(FitError::NoBind { destination });
    };
    let unusable = |source: io::Error| FitError::Source {
        destination: destination.clone(),
        host_path: host_path.clone(),
        source,
    };
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(rustix::fs::CWD, &host_path, AtFlags::empty(), wanted)
        .map_err(|errno| unusable(errno.into()))?;
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    let kind = statfs(&host_path).map_err(|errno| unusable(errno.into()))?;
    if kind.filesystem_type() != TMPFS_MAGIC {
        return Err(FitError::NotTmpfs {
            destination,
            host_path,
        });
    }
    Ok(Place {
        archive: mount.archive.clone(),
        whole: is_whole(&stat).map_err(unusable)?,
        partial: mount.partial,
        origin: mount.origin.clone(),
        shared: mount.shared.clone(),
        source: host_path,
        device: device_of(&stat),
        inode: stat.stx_ino,
    })
}

/// Whether a directory is the root of a mount that shows its whole file system.
fn is_whole(stat: &Statx) -> io::Result<bool> {
    if !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(false);
    }
    let text = std::fs::read("/proc/self/mountinfo")?;
    let mounts = mountinfo::parse(&text)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mount = mounts.iter().find(|mount| mount.id == stat.stx_mnt_id);
    Ok(mount.is_some_and(|mount| mount.root.as_os_str() == "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(destination: &str) -> CarriedMount {
        CarriedMount {
            below: "".into(),
            origin: None,
            shared: Default::default(),
            destination: destination.into(),
            archive: "remap-mount-0.tar".into(),
            partial: false,
            fs_options: vec![],
            bytes: 0,
            entries: 1,
            sockets: vec![],
        }
    }

    fn fit_to(mounts: &[(&str, &std::path::Path)]) -> Result<Vec<Place>, FitError> {
        let bundle = Bundle {
            path: "/b".into(),
            mounts: mounts
                .iter()
                .map(|(destination, source)| crate::bundle::BundleMount {
                    destination: destination.into(),
                    bind_source: Some(source.into()),
                })
                .collect(),
            annotations: Default::default(),
        };
        fit(&bundle, &[carried("/dev/shm"), carried("/shm2")])
    }

    #[test]
    fn two_mounts_of_one_directory_are_one_place() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let places = fit_to(&[("/dev/shm", dir.path()), ("/shm2", dir.path())]).unwrap();
        assert_eq!(places.len(), 1);
        assert!(!places[0].whole);
    }

    #[test]
    fn a_part_of_what_is_carried_has_to_be_that_part_here() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("part")).unwrap();
        std::fs::create_dir(path("other")).unwrap();
        let bundle = |part: &str| Bundle {
            path: "/b".into(),
            mounts: [("/part", path(part)), ("/dev/shm", path(""))]
                .map(|(destination, source)| crate::bundle::BundleMount {
                    destination: destination.into(),
                    bind_source: Some(source),
                })
                .into(),
            annotations: Default::default(),
        };
        let part = CarriedMount {
            below: "part".into(),
            ..carried("/part")
        };
        let mounts = [part, carried("/dev/shm")];
        let places = fit(&bundle("part"), &mounts).unwrap();
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].source, path(""));
        let error = fit(&bundle("other"), &mounts).unwrap_err();
        assert!(error.to_string().contains(path("part").to_str().unwrap()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let other = tempfile::tempdir_in("/dev/shm").unwrap();
        let disk = tempfile::tempdir_in("/var/tmp").unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let missing = dir.path().join("missing");
        let error = |second| fit_to(&[("/dev/shm", dir.path()), ("/shm2", second)]).unwrap_err();
        assert!(matches!(error(other.path()), FitError::Apart { .. }));
        assert!(matches!(error(disk.path()), FitError::NotTmpfs { .. }));
        assert!(matches!(error(&file), FitError::Source { .. }));
        assert!(error(&missing).to_string().contains("mount a tmpfs on it"));
        let none = fit_to(&[("/dev/shm", dir.path())]).unwrap_err();
        assert!(none.to_string().contains("/shm2"));
    }
}

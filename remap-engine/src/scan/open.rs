//! The root directory of a mount of the container.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags};

use super::ScanError;
use crate::mountmap::{HostMounts, Mount, place_on};
use crate::process::{Process, device_of};

/// Opens the root directory of a mount through the container's own view, or, where another mount
/// covers it there, by its source on the host; and makes sure that it is that directory.
///
/// # Errors
/// The process is gone, or another mount covers this one on either way.
pub fn open_mount(root: &Process, mount: &Mount) -> Result<OwnedFd, ScanError> {
    let host = HostMounts::look().map_err(|source| ScanError::System {
        what: "list the mounts of the host",
        source,
    })?;
    open_mount_with(root, &host, mount)
}

/// The same, with the mounts of the host as they were seen.
pub(super) fn open_mount_with(
    root: &Process,
    host: &HostMounts,
    mount: &Mount,
) -> Result<OwnedFd, ScanError> {
    // What covers it need not have this directory.
    let covered = match root.open_dir(&mount.destination) {
        Ok(dir) if look(&dir)?.stx_mnt_id == mount.id => return Ok(dir),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    match (on_host(host, mount), covered) {
        (Some(dir), _) => Ok(dir),
        (None, Some(error)) if root.has_ended() => Err(error.into()),
        (None, _) => Err(ScanError::Covered {
            destination: mount.destination.clone(),
            id: mount.id,
        }),
    }
}

/// The directory as the host shows it at the source, if it is the same.
fn on_host(host: &HostMounts, mount: &Mount) -> Option<OwnedFd> {
    let source = mount.source.as_ref()?.canonicalize().ok()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, &source, flags, Mode::empty()).ok()?;
    let stat = look(&dir).ok()?;
    let shown = host.by_id(stat.stx_mnt_id)?;
    let is_same = device_of(&stat) == mount.device
        && place_on(shown, &source).as_deref() == Some(Path::new(&mount.root));
    is_same.then_some(dir)
}

fn look(dir: &OwnedFd) -> Result<Statx, ScanError> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, wanted).map_err(|errno| ScanError::System {
        what: "stat a mount of the container",
        source: errno.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountmap::MountClass;
    use std::os::unix::fs::MetadataExt;

    /// This process stands for a container in which something else is at the mount point.
    #[test]
    fn a_mount_that_is_covered_is_found_by_its_source() {
        let host = HostMounts::look().unwrap();
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        let stat = look(&fd).unwrap();
        let shown = host.by_id(stat.stx_mnt_id).unwrap();
        let mut mount = Mount {
            device: device_of(&stat),
            root: place_on(shown, dir.path()).unwrap(),
            source: Some(dir.path().to_owned()),
            ..Mount::tmpfs(u64::MAX, "/nonexistent", MountClass::ExternalTmpfsPrivate)
        };
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let found = open_mount_with(&own, &host, &mount).unwrap();
        let inode = std::fs::metadata(dir.path()).unwrap().ino();
        assert_eq!(look(&found).unwrap().stx_ino, inode);
        // The source is another directory by now.
        mount.root = "/other".into();
        let error = open_mount_with(&own, &host, &mount).unwrap_err();
        assert!(matches!(error, ScanError::Covered { .. }), "{error}");
        mount.source = None;
        assert!(open_mount(&own, &mount).is_err());
    }
}

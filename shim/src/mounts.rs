//! The container's root file system: mounting what containerd's snapshotter says, and undoing it.

mod id_map;
mod mapped;
mod user_namespace;

use std::{io, path::Path};

use containerd_shim_protos::api::Mount;
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};
use thiserror::Error;

pub(crate) use self::{id_map::IdMap, mapped::ask_for_restore};

/// A mount that could not be made or undone.
#[derive(Debug, Error)]
pub(crate) enum MountError {
    /// mount(2).
    #[error("cannot mount {source_path:?} ({fs_type}) on {target}")]
    Mount {
        /// What was to be mounted.
        source_path: String,
        /// Its file system type.
        fs_type: String,
        /// Where.
        target: std::path::PathBuf,
        /// What went wrong.
        #[source]
        source: Box<containerd_shim::Error>,
    },
    /// One whose layers have to show the ids of a user namespace.
    #[error(
        "cannot mount the root file system on {target} with the users of the container's user \
         namespace; that takes Linux 5.19, and a file system below containerd's snapshots of which \
         there can be id-mapped mounts (mount_setattr(2)), or a client that remaps the snapshot"
    )]
    Mapped {
        /// Where.
        target: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A directory of the snapshotter's.
    #[error("cannot see or set whose the layer {layer} is")]
    Layer {
        /// The directory.
        layer: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory to mount on.
    #[error("cannot make {target}")]
    Target {
        /// The directory.
        target: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread that mounts died.
    #[error("the thread that mounts {target} was lost")]
    Thread {
        /// Where.
        target: std::path::PathBuf,
    },
    /// umount2(2).
    #[error("cannot unmount {target}")]
    Unmount {
        /// Where.
        target: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: Errno,
    },
}

/// Mounts `mounts`, one over the other, on `target`. If one fails, those before it are undone.
///
/// It happens on a thread of its own: the mount helper changes its thread's working directory
/// for overlays with many layers.
///
/// # Errors
/// [`MountError`].
pub(crate) async fn mount(mounts: Vec<Mount>, target: &Path) -> Result<(), MountError> {
    if mounts.is_empty() {
        return Ok(());
    }
    let (sender, done) = tokio::sync::oneshot::channel();
    let path = target.to_owned();
    std::thread::spawn(move || sender.send(mount_all(&mounts, &path)));
    done.await.unwrap_or_else(|_| {
        Err(MountError::Thread {
            target: target.to_owned(),
        })
    })
}

fn mount_all(mounts: &[Mount], target: &Path) -> Result<(), MountError> {
    std::fs::create_dir_all(target).map_err(|source| MountError::Target {
        target: target.to_owned(),
        source,
    })?;
    for mount in mounts {
        let mut mount = mount.clone();
        let mounted = match IdMap::take_from(&mut mount.options) {
            Some(map) => mapped::mount(&mount, &map, target),
            None => mount_one(&mount, target),
        };
        if let Err(error) = mounted {
            if let Err(error) = unmount(target) {
                tracing::warn!(%error, "mounts are left over from a failed create");
            }
            return Err(error);
        }
    }
    Ok(())
}

fn mount_one(mount: &Mount, target: &Path) -> Result<(), MountError> {
    containerd_shim::mount::mount_rootfs(
        Some(mount.type_.as_str()).filter(|text| !text.is_empty()),
        Some(mount.source.as_str()).filter(|text| !text.is_empty()),
        &mount.options,
        target,
    )
    .map_err(|source| MountError::Mount {
        source_path: mount.source.clone(),
        fs_type: mount.type_.clone(),
        target: target.to_owned(),
        source: Box::new(source),
    })
}

/// Unmounts everything on `target`; nothing there is fine. A mount that is still in use is
/// detached and goes with its last user.
///
/// # Errors
/// [`MountError::Unmount`].
pub(crate) fn unmount(target: &Path) -> Result<(), MountError> {
    loop {
        let flags = MntFlags::UMOUNT_NOFOLLOW;
        let unmounted = match umount2(target, flags) {
            Err(Errno::EBUSY) => umount2(target, flags | MntFlags::MNT_DETACH),
            other => other,
        };
        match unmounted {
            Ok(()) => {}
            // umount2(2): EINVAL, target is not a mount point.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(source) => {
                return Err(MountError::Unmount {
                    target: target.to_owned(),
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_to_do() {
        let dir = tempfile::tempdir().unwrap();
        mount(Vec::new(), &dir.path().join("rootfs")).await.unwrap();
        assert!(!dir.path().join("rootfs").exists());
        unmount(&dir.path().join("rootfs")).unwrap();
        unmount(dir.path()).unwrap();
    }
}

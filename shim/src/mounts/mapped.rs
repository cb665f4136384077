//! Root file systems whose layers show the ids of a user namespace.
//!
//! An overlay cannot be mapped itself, but it heeds mapped layers (Linux 5.19). So the layers are
//! covered by mapped mounts of themselves while it is mounted, in a mount namespace that nobody else
//! sees and that is gone with its thread: nothing can be left over.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::MetadataExt,
    path::Path,
};

use containerd_shim_protos::api::Mount;
use nix::{
    mount::MsFlags,
    sched::{CloneFlags, unshare},
};
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

use super::{MountError, id_map::IdMap, mount_one, user_namespace};

/// Mounts `mount` (its options without those about ids) on `target`.
///
/// # Errors
/// [`MountError`]. Nothing is mounted then.
pub(super) fn mount(mount: &Mount, map: &IdMap, target: &Path) -> Result<(), MountError> {
    let failed = |source: io::Error| MountError::Mapped {
        target: target.to_owned(),
        source,
    };
    let namespace = user_namespace::with_ids(map).map_err(failed)?;
    // In a thread of its own, because it does not come back to this mount namespace.
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> Result<OwnedFd, MountError> {
            cover(&layers(mount), &namespace).map_err(failed)?;
            mount_one(mount, target)?;
            detached(target).map_err(failed)
        });
        thread.join()
    });
    let made = made.map_err(|_| MountError::Thread {
        target: target.to_owned(),
    })??;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&made, "", CWD, target, flags).map_err(|error| failed(error.into()))
}

/// The directories of the image that the mount shows, topmost first.
fn layers(mount: &Mount) -> Vec<&str> {
    if mount.type_ != "overlay" {
        return vec![&mount.source];
    }
    let mut options = mount.options.iter();
    let layers = options.find_map(|one| one.strip_prefix("lowerdir="));
    let layers = layers.unwrap_or_default().split(':');
    layers.filter(|layer| !layer.is_empty()).collect()
}

/// Goes into a mount namespace of its own and covers each layer there.
fn cover(layers: &[&str], namespace: &OwnedFd) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let nothing = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(nothing, "/", nothing, private, nothing)?;
    for layer in layers {
        let mapped = detached(Path::new(layer))?;
        user_namespace::map_mount(mapped.as_fd(), namespace.as_fd())?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&mapped, "", CWD, *layer, flags)?;
    }
    Ok(())
}

/// A mount of what is there, in no mount namespace (open_tree(2)).
fn detached(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, path, flags)?)
}

/// Has the root file system of a restored container mapped, if it is to be.
///
/// A client that creates a container with a user namespace sees to it that the snapshot belongs to
/// its users (`WithRemappedSnapshot`, `WithRemapperLabels`); containerd's `Client.Restore` does not:
/// it prepares one of the image as it is, and adds what the container had written, which does belong
/// to them. Of a snapshot that is as it has to be nothing is changed.
///
/// # Errors
/// A directory cannot be looked at, or the root of the container's own layer not be given to it.
pub(crate) fn ask_for_restore(mounts: &mut [Mount], map: &IdMap) -> Result<(), MountError> {
    for mount in mounts {
        let Some(top) = layers(mount).first().map(|top| (*top).to_owned()) else {
            continue;
        };
        let failed = |source| MountError::Layer {
            layer: top.clone().into(),
            source,
        };
        if IdMap::is_asked_for(mount) || map.has_user(owner(&top).map_err(failed)?.0) {
            continue;
        }
        let upper = mount.options.iter();
        let upper = upper.filter_map(|one| one.strip_prefix("upperdir="));
        for upper in upper {
            give_root(upper, map).map_err(|source| MountError::Layer {
                layer: upper.into(),
                source,
            })?;
        }
        map.ask_for(mount);
        tracing::info!(
            source = mount.source,
            layer = top,
            "mapped to the container's users"
        );
    }
    Ok(())
}

/// Gives the root of the container's own layer, which is the root that it sees, to who it belongs to
/// in the image; unless the container has it already.
fn give_root(upper: &str, map: &IdMap) -> io::Result<()> {
    let (user, group) = owner(upper)?;
    if !map.has_user(user)
        && let Some((user, group)) = map.outside(user, group)
    {
        std::os::unix::fs::lchown(upper, Some(user), Some(group))?;
    }
    Ok(())
}

fn owner(path: &str) -> io::Result<(u32, u32)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.uid(), metadata.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn overlay(lower: &[&Path], upper: &Path) -> Mount {
        let lower: Vec<&str> = lower.iter().map(|path| path.to_str().unwrap()).collect();
        Mount {
            type_: "overlay".into(),
            source: "overlay".into(),
            options: vec![
                format!("upperdir={}", upper.display()),
                format!("lowerdir={}", lower.join(":")),
            ],
            ..Mount::default()
        }
    }

    fn map(inside: u32, outside: u32) -> IdMap {
        let ids = json!([{"containerID": inside, "hostID": outside, "size": 9}]);
        let config = json!({"linux": {"uidMappings": ids, "gidMappings": ids}});
        IdMap::of_config(&config).unwrap()
    }

    #[test]
    fn only_a_foreign_snapshot_is_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let own = owner(dir.path().to_str().unwrap()).unwrap().0;
        let before = overlay(&[dir.path(), Path::new("/absent")], dir.path());
        let ask = |map: &IdMap| {
            let mut mounts = [before.clone()];
            ask_for_restore(&mut mounts, map).unwrap();
            mounts
        };
        let [unchanged] = ask(&map(own + 1, own));
        assert_eq!(unchanged, before);
        // Inside, nobody is called as the own user is here: nothing is given away.
        let [mapped] = ask(&map(own + 1, own + 1000));
        let range = format!("{}:{}:9", own + 1, own + 1000);
        let ids = [format!("uidmap={range}"), format!("gidmap={range}")];
        assert_eq!(
            mapped.options,
            [before.options.clone(), ids.to_vec()].concat()
        );
        assert_eq!(owner(dir.path().to_str().unwrap()).unwrap().0, own);
        let mut again = [mapped.clone()];
        ask_for_restore(&mut again, &map(own + 1, own + 2000)).unwrap();
        assert_eq!(again, [mapped]);
        let mut absent = [overlay(&[Path::new("/absent")], dir.path())];
        assert!(ask_for_restore(&mut absent, &map(0, 5000)).is_err());
    }

    #[test]
    fn layers_of_an_overlay_and_of_a_bind() {
        let mut mount = overlay(&[Path::new("/a"), Path::new("/b")], Path::new("/u"));
        assert_eq!(layers(&mount), ["/a", "/b"]);
        mount.options.clear();
        assert_eq!(layers(&mount), [""; 0]);
        mount.type_ = "bind".into();
        mount.source = "/s".into();
        assert_eq!(layers(&mount), ["/s"]);
    }
}

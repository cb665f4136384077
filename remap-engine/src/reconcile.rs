//! Holds what CRIU wrote against what the engine carried. Pure.
//!
//! A restore opens each file by the path in the images; for a file on an external mount that path
//! must be among the names that are carried, or have a ghost to stand in.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::criu::files::{DumpedFile, Remap};
use crate::linked::LinkedFile;
use crate::mountmap::{Mount, MountClass, MountMap};
use crate::plan::{Decision, FilePlan, RemapPlan};
use crate::policy::MountPolicy;

/// Names on the carried mounts, relative to the mount point, by mount id.
pub type CarriedNames = HashMap<u64, HashSet<PathBuf>>;

/// A file in the images that a restore would not find.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unaccounted {
    /// Its name is not carried.
    #[error(
        "file {id} of the dump needs the name {path:?} on {destination}, which the checkpoint does not carry"
    )]
    NameNotCarried {
        /// CRIU's id of the file.
        id: u32,
        /// The path that CRIU will open.
        path: PathBuf,
        /// Mount point.
        destination: PathBuf,
    },
    /// It is to be in the images, and is not.
    #[error(
        "file {id} of the dump needs the name {path:?} on {destination}, whose policy wants it in the images"
    )]
    NoGhost {
        /// CRIU's id of the file.
        id: u32,
        /// The path that CRIU will open.
        path: PathBuf,
        /// Mount point.
        destination: PathBuf,
    },
    /// CRIU linked it on a mount that does not travel, and no other name of it is known.
    #[error("file {id} of the dump was linked as {path:?} on {destination}, which is not carried")]
    LinkedElsewhere {
        /// CRIU's id of the file.
        id: u32,
        /// The path that CRIU will open.
        path: PathBuf,
        /// Mount point.
        destination: PathBuf,
    },
}

/// Checks every regular file of the dump; returns those that a restore would not find.
#[must_use]
pub fn reconcile(map: &MountMap, carried: &CarriedNames, files: &[DumpedFile]) -> Vec<Unaccounted> {
    files
        .iter()
        .filter_map(|file| {
            let mount = map.by_id(file.mount_id?)?;
            check(mount, carried, file)
        })
        .collect()
}

/// Adds the names that a restore makes itself.
pub fn add_links(names: &mut CarriedNames, map: &MountMap, links: &[LinkedFile]) {
    for mount in &map.mounts {
        let destination = mount.asked_for.as_ref().unwrap_or(&mount.destination);
        let on_it = links.iter().filter(|link| link.destination == *destination);
        let on_it: HashSet<PathBuf> = on_it.map(|link| link.link.clone()).collect();
        if !on_it.is_empty() {
            names.entry(mount.id).or_default().extend(on_it);
        }
    }
}

/// Adds the names on the host's tmpfs that the target has anyway, as those of devices.
pub fn add_staying(names: &mut CarriedNames, plan: &RemapPlan) {
    for mount in plan
        .map
        .mounts
        .iter()
        .filter(|mount| mount.is_tmpfs_of_host())
    {
        let stays = |file: &&FilePlan| file.decision == Decision::Stays && file.is_on(mount);
        let holders = plan
            .files
            .iter()
            .filter(stays)
            .flat_map(|file| &file.holders);
        let below = holders.filter_map(|holder| {
            let name = Path::new(&holder.name).strip_prefix(&mount.destination);
            name.ok().map(Path::to_owned)
        });
        let below: HashSet<PathBuf> = below.collect();
        if !below.is_empty() {
            names.entry(mount.id).or_default().extend(below);
        }
    }
}

fn check(mount: &Mount, carried: &CarriedNames, file: &DumpedFile) -> Option<Unaccounted> {
    let path = match &file.remap {
        Some(Remap::Ghost(_) | Remap::Procfs) => return None,
        Some(Remap::Linked(path)) => path,
        None => &file.path,
    };
    if mount.is_ghosted() {
        // Only the mount point may be there by its name.
        let is_root = name_on(mount, path).is_some_and(|name| name.as_os_str().is_empty());
        return (!is_root).then(|| Unaccounted::NoGhost {
            id: file.id,
            path: path.clone(),
            destination: mount.destination.clone(),
        });
    }
    let names = carried.get(&mount.id);
    let found =
        name_on(mount, path).is_some_and(|name| names.is_some_and(|names| names.contains(name)));
    match &mount.class {
        _ if mount.is_to(MountPolicy::Ignore) => None,
        // With the names on it, CRIU's own among them.
        MountClass::Internal if mount.fs_type == "tmpfs" => None,
        MountClass::ExternalTmpfsPrivate | MountClass::ExternalTmpfsShared { .. } => {
            (!found).then(|| Unaccounted::NameNotCarried {
                id: file.id,
                path: path.clone(),
                destination: mount.destination.clone(),
            })
        }
        _ => (matches!(file.remap, Some(Remap::Linked(_))) && !found).then(|| {
            Unaccounted::LinkedElsewhere {
                id: file.id,
                path: path.clone(),
                destination: mount.destination.clone(),
            }
        }),
    }
}

/// The part of a path below the mount point.
fn name_on<'p>(mount: &Mount, path: &'p Path) -> Option<&'p Path> {
    let destination = mount.destination.strip_prefix("/").ok()?;
    path.strip_prefix(destination).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountmap::EphemeralReason;
    use crate::policy::MountPolicy;

    #[test]
    fn where_ghosts_are_wanted_all_but_the_mount_point_are_ghosts() {
        let on_ghosted = |path: &str, remap| {
            let mut mount = Mount::tmpfs(2, "/dev/shm", MountClass::ExternalTmpfsPrivate);
            mount.policy = Some(MountPolicy::Ghost);
            let map = MountMap {
                mounts: vec![mount],
            };
            let file = DumpedFile {
                id: 4,
                path: path.into(),
                mount_id: Some(2),
                remap,
                size_bytes: None,
                mode: None,
            };
            reconcile(&map, &CarriedNames::new(), &[file]).len()
        };
        assert_eq!(on_ghosted("dev/shm", None), 0);
        assert_eq!(on_ghosted("dev/shm/a", Some(Remap::Ghost(1))), 0);
        assert_eq!(on_ghosted("dev/shm/a", None), 1);
        assert_eq!(on_ghosted("dev/shm/a", linked("dev/shm/link_remap.4")), 1);
    }

    fn check_one(mount_id: u64, path: &str, remap: Option<Remap>) -> Vec<Unaccounted> {
        let reason = EphemeralReason::NotTmpfs;
        let map = MountMap {
            mounts: vec![
                Mount::tmpfs(1, "/", MountClass::Internal),
                Mount::tmpfs(2, "/dev/shm", MountClass::ExternalTmpfsPrivate),
                Mount::tmpfs(3, "/data", MountClass::ExternalEphemeral { reason }),
            ],
        };
        let names = ["", "named", "link_remap.4"].map(PathBuf::from);
        let carried = HashMap::from([(2, HashSet::from(names))]);
        let file = DumpedFile {
            id: 4,
            path: path.into(),
            mount_id: Some(mount_id),
            remap,
            size_bytes: None,
            mode: None,
        };
        reconcile(&map, &carried, &[file])
    }

    fn linked(path: &str) -> Option<Remap> {
        Some(Remap::Linked(path.into()))
    }

    #[test]
    fn what_is_carried_is_found() {
        assert_eq!(check_one(2, "dev/shm/named", None), []);
        assert_eq!(check_one(2, "dev/shm", None), []);
        assert_eq!(
            check_one(2, "dev/shm/gone (deleted)", linked("dev/shm/link_remap.4")),
            []
        );
        assert_eq!(
            check_one(2, "dev/shm/gone (deleted)", Some(Remap::Ghost(1))),
            []
        );
    }

    #[test]
    fn what_is_not_carried_is_reported() {
        assert_eq!(check_one(2, "dev/shm/other", None).len(), 1);
        assert_eq!(
            check_one(2, "dev/shm/x (deleted)", linked("dev/shm/link_remap.5")).len(),
            1
        );
        assert_eq!(
            check_one(3, "data/x (deleted)", linked("data/link_remap.4")).len(),
            1
        );
    }

    #[test]
    fn a_mount_that_is_to_be_ignored_is_not_our_business() {
        let reason = EphemeralReason::Ignored;
        let mut mount = Mount::tmpfs(3, "/data", MountClass::ExternalEphemeral { reason });
        let file = DumpedFile {
            id: 4,
            path: "data/x (deleted)".into(),
            mount_id: Some(3),
            size_bytes: None,
            mode: None,
            remap: linked("data/link_remap.4"),
        };
        let lost = |mount: &Mount| check(mount, &CarriedNames::new(), &file);
        assert!(lost(&mount).is_some());
        mount.policy = Some(MountPolicy::Ignore);
        assert_eq!(lost(&mount), None);
    }

    #[test]
    fn a_name_that_the_restore_makes_is_found() {
        let reason = EphemeralReason::NotTmpfs;
        let map = MountMap {
            mounts: vec![
                Mount {
                    fs_type: "overlay".into(),
                    ..Mount::tmpfs(1, "/", MountClass::Internal)
                },
                Mount::tmpfs(3, "/data", MountClass::ExternalEphemeral { reason }),
            ],
        };
        let link = |destination: &str, link: &str| LinkedFile {
            destination: destination.into(),
            survivor: "lives".into(),
            link: link.into(),
            size_bytes: 0,
            mode: 0,
        };
        let links = [link("/", "etc/link_remap.4"), link("/data", "link_remap.5")];
        let mut names = CarriedNames::new();
        add_links(&mut names, &map, &links);
        let file = |mount_id, path: &str| DumpedFile {
            id: 4,
            path: "x".into(),
            mount_id: Some(mount_id),
            size_bytes: None,
            mode: None,
            remap: linked(path),
        };
        let made = [file(1, "etc/link_remap.4"), file(3, "data/link_remap.5")];
        assert_eq!(reconcile(&map, &names, &made), []);
        let others = [file(1, "etc/link_remap.5"), file(3, "data/link_remap.4")];
        assert_eq!(reconcile(&map, &names, &others).len(), 2);
    }

    #[test]
    fn a_name_of_criu_that_nothing_brings_is_reported() {
        let mut root = Mount::tmpfs(1, "/", MountClass::Internal);
        let check = |root: &Mount| {
            let file = DumpedFile {
                id: 4,
                path: "etc/x".into(),
                mount_id: Some(1),
                size_bytes: None,
                mode: None,
                remap: linked("etc/link_remap.4"),
            };
            let map = MountMap {
                mounts: vec![root.clone()],
            };
            reconcile(&map, &CarriedNames::new(), &[file]).len()
        };
        assert_eq!(check(&root), 0);
        root.fs_type = "overlay".into();
        assert_eq!(check(&root), 1);
    }

    #[test]
    fn other_mounts_are_not_our_business() {
        assert_eq!(check_one(1, "etc/x", linked("etc/link_remap.4")), []);
        assert_eq!(check_one(3, "data/x", None), []);
        assert_eq!(check_one(99, "dev/shm/other", None), []);
    }
}

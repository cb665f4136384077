//! Names that are left of files whose opened name is gone, where the file system does not travel
//! with the checkpoint: the root, and mounts that are not carried.
//!
//! CRIU links such a file as `link_remap.N` beside the gone name, and the restore needs that name
//! there. It can be made again from another name of the same file, if there is one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, fstatvfs};

use super::{DeletedNames, NameState, open_mount};
use crate::mountinfo::Device;
use crate::mountmap::{Mount, MountClass, MountMap};
use crate::name_search::{Inode, NameSearch};
use crate::process::{FileUse, Process, strip_deleted};

/// How long the search may take, the tasks being frozen. It is made only if there is such a file.
const LIMIT: Duration = Duration::from_secs(30);

/// Says `Y` if overlays have an index unless told otherwise.
const INDEX_BY_DEFAULT: &str = "/sys/module/overlay/parameters/index";

/// What is left of a file whose opened name is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Survivor {
    /// A name, as the container sees it.
    Name(PathBuf),
    /// Nothing: an overlay shows the link count of the lower layer's file.
    Nothing,
    /// None was found, for this reason.
    Unknown(String),
}

/// What is left of each of them.
#[derive(Debug, Clone, Default)]
pub struct Survivors(HashMap<Inode, Survivor>);

impl Survivors {
    /// Searches the mounts of such files. `root` is the container's init.
    pub(super) fn look(
        root: &Process,
        map: &MountMap,
        uses: &[FileUse],
        names: &DeletedNames,
        memfd_device: Device,
    ) -> Self {
        let is_gone = |one: &&FileUse| {
            let named = one.links > 0 && !one.is_directory() && one.device != memfd_device;
            named && names.state(one) == Some(NameState::Gone)
        };
        let mut by_mount: BTreeMap<u64, Vec<&FileUse>> = BTreeMap::new();
        for one in uses.iter().filter(is_gone) {
            by_mount.entry(one.mount_id).or_default().push(one);
        }
        let until = Instant::now() + LIMIT;
        let mut all = Self::default();
        for (id, uses) in by_mount {
            if let Some(mount) = map.by_id(id).filter(|mount| stays_behind(mount)) {
                all.search(root, mount, &uses, until);
            }
        }
        all
    }

    fn search(&mut self, root: &Process, mount: &Mount, uses: &[&FileUse], until: Instant) {
        let found = search(root, mount, uses, until);
        for one in uses {
            let inode = (one.device, one.inode);
            let survivor = match &found {
                Ok(found) => match found.names.get(&inode) {
                    Some(name) => Survivor::Name(mount.destination.join(name)),
                    None => found.otherwise.clone(),
                },
                Err(reason) => Survivor::Unknown(reason.clone()),
            };
            self.note(inode, survivor);
        }
    }

    /// Notes what is left of a file. One whose names are gone on two mounts is linked on both, and
    /// what is left on one of them is of no use on the other.
    pub(crate) fn note(&mut self, inode: Inode, survivor: Survivor) {
        let known = self.0.entry(inode).or_insert_with(|| survivor.clone());
        if *known != survivor {
            *known = Survivor::Unknown("it is held by names on two mounts that are gone".into());
        }
    }

    /// What is left of a file; `None` if that was not asked.
    #[must_use]
    pub fn of(&self, device: Device, inode: u64) -> Option<&Survivor> {
        self.0.get(&(device, inode))
    }
}

/// Whether nothing brings the names that CRIU makes on a mount to the target.
fn stays_behind(mount: &Mount) -> bool {
    match mount.class {
        MountClass::Internal => !["tmpfs", "proc", "devpts"].contains(&mount.fs_type.as_str()),
        MountClass::ExternalTmpfsPrivate | MountClass::ExternalTmpfsShared { .. } => false,
        _ => true,
    }
}

/// What a search has found.
struct Found {
    /// By inode, relative to the mount point.
    names: HashMap<Inode, PathBuf>,
    /// What is said of the others.
    otherwise: Survivor,
}

/// Searches one mount. The error is the reason why that cannot be done.
fn search(
    root: &Process,
    mount: &Mount,
    uses: &[&FileUse],
    until: Instant,
) -> Result<Found, String> {
    let is_root = mount.destination == Path::new("/");
    if mount.class == MountClass::Internal && !is_root {
        return Err("the mount is the container's own, which only CRIU makes".into());
    }
    if mount.fs_type.starts_with("fuse") {
        return Err("the server of a FUSE file system may be frozen with the container".into());
    }
    let view = open_mount(root, mount).map_err(|error| crate::phase::report(&error))?;
    let flags =
        fstatvfs(&view).map_err(|error| format!("the mount cannot be looked at: {error}"))?;
    if flags.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err("the mount is read-only: CRIU cannot make a name there".into());
    }
    let upper = upper_of(mount).filter(|_| is_root);
    let upper = upper.and_then(|path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).ok()
    });
    let wanted: HashSet<Inode> = uses.iter().map(|one| (one.device, one.inode)).collect();
    let kinds = uses
        .iter()
        .map(|one| FileType::from_raw_mode(one.mode))
        .collect();
    let search = NameSearch {
        view: &view,
        listed: upper.as_ref().unwrap_or(&view),
        wanted,
        kinds,
        until,
    };
    let hints = uses.iter().filter_map(|one| {
        let gone = Path::new(strip_deleted(&one.name)?);
        let below = gone.parent()?.strip_prefix(&mount.destination).ok()?;
        Some(below.to_owned())
    });
    let searched = search.run(hints.collect());
    let otherwise = if searched.expired {
        let seconds = LIMIT.as_secs();
        Survivor::Unknown(format!("no other name was found in {seconds} s"))
    } else if mount.fs_type == "overlay" && is_root && !searched.hidden {
        Survivor::Nothing
    } else {
        Survivor::Unknown("the container sees no other name".into())
    };
    Ok(Found {
        names: searched.names,
        otherwise,
    })
}

/// The upper layer of an overlay, if all names that a file of it can have are there.
///
/// Without the index a file of a lower layer has one name: whoever opens another hard link of it
/// opens another file (Documentation/filesystems/overlayfs.rst, "Inode properties"), and one that
/// gets a second name is copied up before.
fn upper_of(mount: &Mount) -> Option<&Path> {
    let mut options = mount.fs_options.split(',');
    let index = options.clone().find_map(|one| one.strip_prefix("index="));
    let by_default = || std::fs::read(INDEX_BY_DEFAULT).is_ok_and(|text| text.starts_with(b"Y"));
    let is_indexed = index.map_or_else(by_default, |value| value != "off");
    let upper = options.find_map(|one| one.strip_prefix("upperdir="))?;
    (mount.fs_type == "overlay" && !is_indexed).then_some(Path::new(upper))
}

#[cfg(test)]
mod tests;

//! Classifies the mounts of a container. Pure but for what [`View`] is asked.

use std::path::{Path, PathBuf};

use super::{EphemeralReason, HostMounts, Mount, MountClass, MountMap};
use crate::bundle::{Bundle, BundleMount};
use crate::mountinfo::MountEntry;

/// File systems whose contents another host reaches under the same source.
const NETWORK_FILE_SYSTEMS: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "fuse.ceph",
    "fuse.glusterfs",
    "lustre",
    "gpfs",
    "beegfs",
    "ocfs2",
    "gfs2",
];

/// What the kubelet puts into these holds tokens and settings, and the target's kubelet fills its
/// own (Kubernetes `pkg/volume`, plugin directory names).
const KUBELET_VOLUMES: [&str; 4] = [
    "kubernetes.io~secret",
    "kubernetes.io~projected",
    "kubernetes.io~configmap",
    "kubernetes.io~downward-api",
];

/// What can only be learned by a look at the container's files.
pub trait View {
    /// The id of the mount whose root is at `path`, seen from the container's root, with symbolic
    /// links followed; `None` if nothing is mounted there.
    fn mount_at(&self, path: &Path) -> Option<u64>;

    /// Whether the mount shows a directory. Where another one covers it, the host's `source` tells.
    fn is_directory(&self, entry: &MountEntry, source: &Path) -> bool;
}

impl MountMap {
    /// Classifies the mounts that the container's init sees (`mountinfo`) by what the bundle asked
    /// for and what the host has mounted.
    ///
    /// Every writable bind of a tmpfs directory counts as private until [`MountMap::share`] says
    /// otherwise.
    #[must_use]
    pub fn build(
        bundle: &Bundle,
        mountinfo: &[MountEntry],
        host: &HostMounts,
        view: &impl View,
    ) -> Self {
        let placed = Placed::all(bundle, mountinfo, view);
        let mounts = mountinfo
            .iter()
            .map(|entry| {
                let bind = bind_of(&placed, mountinfo, host, entry);
                let class = match &bind {
                    None => MountClass::Internal,
                    Some(_) if is_under_a_bind(&placed, mountinfo, entry) => {
                        ephemeral(EphemeralReason::Covered)
                    }
                    Some(bind) => classify(entry, &bind.source, host, view),
                };
                let along = bind.as_ref().is_some_and(|bind| bind.along);
                let upon_bind = bind.is_none() && is_upon_a_bind(&placed, mountinfo, entry);
                let (asked_for, source) = bind.map(|bind| (bind.destination, bind.source)).unzip();
                Mount {
                    asked_for,
                    source,
                    class,
                    along,
                    upon_bind,
                    ..Mount::internal(entry)
                }
            })
            .collect();
        Self { mounts }
    }
}

/// A mount of the bundle, with the one that the runtime made of it.
struct Placed<'b> {
    mount: &'b BundleMount,
    id: u64,
}

impl<'b> Placed<'b> {
    /// Whether the mount with this id is this one, and a bind.
    fn is_bind(&self, id: u64) -> bool {
        self.id == id && self.mount.bind_source.is_some()
    }

    /// Finds what became of each mount of the bundle.
    ///
    /// Several mounts on one mount point lie one upon the other, those of the bundle in its order
    /// at the bottom: `ctr run --mount` puts a bind over the tmpfs that its default specification
    /// has on `/dev/shm`, and the container may have mounted something over that.
    fn all(bundle: &'b Bundle, mountinfo: &[MountEntry], view: &impl View) -> Vec<Self> {
        let mut placed: Vec<Self> = Vec::new();
        for mount in &bundle.mounts {
            let seen = view.mount_at(&mount.destination);
            let entry = seen
                .and_then(|id| mountinfo.iter().find(|entry| entry.id == id))
                // What is mounted above may cover it.
                .or_else(|| at_point(mountinfo, &mount.destination));
            let Some(entry) = entry else {
                continue;
            };
            let free = stack(mountinfo, &entry.mount_point)
                .into_iter()
                .find(|id| placed.iter().all(|other| other.id != *id));
            placed.extend(free.map(|id| Self { mount, id }));
        }
        placed
    }
}

/// A mount with this mount point.
fn at_point<'m>(mountinfo: &'m [MountEntry], path: &Path) -> Option<&'m MountEntry> {
    mountinfo.iter().find(|entry| entry.mount_point == path)
}

/// The mounts on one mount point, from the bottom up.
fn stack(mountinfo: &[MountEntry], mount_point: &Path) -> Vec<u64> {
    let mut left: Vec<&MountEntry> = mountinfo
        .iter()
        .filter(|entry| entry.mount_point == mount_point)
        .collect();
    let mut stack = Vec::new();
    while !left.is_empty() {
        let lies_on_none = |entry: &&MountEntry| {
            let others = left.iter().filter(|other| other.id != entry.id);
            others.into_iter().all(|other| other.id != entry.parent)
        };
        // Where each lies on another, which the kernel cannot show, the order does not matter.
        let lowest = left.iter().position(lies_on_none).unwrap_or(0);
        stack.push(left.remove(lowest).id);
    }
    stack
}

/// The mounts on the mount point of another that lie on that.
fn upper<'m>(
    mountinfo: &'m [MountEntry],
    entry: &MountEntry,
) -> impl Iterator<Item = u64> + use<'m> {
    let id = entry.id;
    let stack = stack(mountinfo, &entry.mount_point).into_iter();
    stack.skip_while(move |other| *other != id).skip(1)
}

/// Whether another bind of the bundle lies on a mount, at the same mount point.
fn is_under_a_bind(placed: &[Placed<'_>], mountinfo: &[MountEntry], entry: &MountEntry) -> bool {
    upper(mountinfo, entry).any(|id| placed.iter().any(|other| other.is_bind(id)))
}

/// Whether a mount lies on a bind of the bundle, at the same mount point.
fn is_upon_a_bind(placed: &[Placed<'_>], mountinfo: &[MountEntry], entry: &MountEntry) -> bool {
    let stack = stack(mountinfo, &entry.mount_point).into_iter();
    let mut lower = stack.take_while(|other| *other != entry.id);
    lower.any(|id| placed.iter().any(|other| other.is_bind(id)))
}

/// Where a mount that comes from the host was asked for, and the host path that shows the same files.
struct Bind {
    destination: PathBuf,
    source: PathBuf,
    /// It came below a bind of the bundle.
    along: bool,
}

/// The bind of the bundle behind a mount: its own, or the one that brought it along. That is one in
/// which the host has this mount, too: what the container has mounted there itself is its own.
fn bind_of(
    placed: &[Placed<'_>],
    mountinfo: &[MountEntry],
    host: &HostMounts,
    entry: &MountEntry,
) -> Option<Bind> {
    let mut at = entry;
    // No way up is longer than there are mounts.
    for _ in mountinfo {
        if let Some(found) = placed.iter().find(|placed| placed.id == at.id) {
            let along = at.id != entry.id;
            let source = found.mount.bind_source.as_ref()?;
            let below = entry.mount_point.strip_prefix(&at.mount_point).ok()?;
            let is_hosts = || !below.as_os_str().is_empty() && host.has(source, below, entry);
            if along && (is_of_root(mountinfo, entry) || !is_hosts()) {
                return None;
            }
            return Some(Bind {
                destination: found.mount.destination.join(below).components().collect(),
                source: source.join(below).components().collect(),
                along,
            });
        }
        at = mountinfo.iter().find(|other| other.id == at.parent)?;
    }
    None
}

/// Whether a mount shows a part of the container's root, of which CRIU makes it a bind
/// (`mnt_is_root_bind`): the host's `/run` shows the roots of all containers.
fn is_of_root(mountinfo: &[MountEntry], entry: &MountEntry) -> bool {
    let root = at_point(mountinfo, Path::new("/"));
    root.is_some_and(|root| root.device == entry.device && entry.root.starts_with(&root.root))
}

fn ephemeral(reason: EphemeralReason) -> MountClass {
    MountClass::ExternalEphemeral { reason }
}

fn classify(entry: &MountEntry, source: &Path, host: &HostMounts, view: &impl View) -> MountClass {
    let in_kubelet_volume = source.components().any(|part| {
        KUBELET_VOLUMES
            .iter()
            .any(|volume| part.as_os_str() == *volume)
    });
    if NETWORK_FILE_SYSTEMS.contains(&entry.fs_type.as_str()) {
        MountClass::ExternalPersistent
    } else if entry.fs_type != "tmpfs" {
        ephemeral(EphemeralReason::NotTmpfs)
    } else if in_kubelet_volume {
        ephemeral(EphemeralReason::KubeletVolume)
    } else if entry.is_read_only() {
        ephemeral(EphemeralReason::ReadOnly)
    } else if host.has_control_groups(entry.device, &entry.root) {
        ephemeral(EphemeralReason::ControlGroups)
    } else if !view.is_directory(entry, source) {
        ephemeral(EphemeralReason::SingleFile)
    } else {
        MountClass::ExternalTmpfsPrivate
    }
}

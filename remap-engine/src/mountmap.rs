//! The mount map: for each mount of a container, whose business its contents are.
//!
//! CRIU dumps the contents of mounts that it manages itself (a tmpfs that the spec declares, one
//! that the container mounted). A bind mount is *external* to it: runc passes it as
//! `ext_mnt` and CRIU neither dumps nor restores what is on it (runc
//! `libcontainer/criu_linux.go`, `addCriuDumpMount`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, BundleMount};
use crate::mountinfo::{Device, MountEntry};
use crate::ownership::OtherUser;

/// Whose business the contents of a mount are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "class")]
pub enum MountClass {
    /// CRIU's, or (the root) the snapshotter's.
    Internal,
    /// A bind of a tmpfs that only the container uses: carried whole.
    ExternalTmpfsPrivate,
    /// A bind of a tmpfs that others use, too.
    ExternalTmpfsShared {
        /// The others, one entry for each process.
        others: Vec<OtherUser>,
    },
    /// A network file system: expected under the same source on the target.
    ExternalPersistent,
    /// Anything else that is not carried: the target has its own, or has nothing.
    ExternalEphemeral {
        /// Why it is not carried.
        reason: EphemeralReason,
    },
}

/// Why an external mount is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EphemeralReason {
    /// A file system that is no tmpfs.
    NotTmpfs,
    /// A read-only tmpfs: the container did not write it.
    ReadOnly,
    /// A volume that the kubelet fills (secret, projected, config map): the target has its own.
    KubeletVolume,
    /// A single file of a tmpfs (a socket, a `resolv.conf`): it belongs to the host.
    SingleFile,
}

/// A mount of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Mount point in the container.
    #[serde(with = "crate::text")]
    pub destination: PathBuf,
    /// Mount id while the container ran.
    pub id: u64,
    /// `st_dev` of its files.
    pub device: Device,
    /// The directory of the file system that the mount shows.
    #[serde(with = "crate::text")]
    pub root: PathBuf,
    /// File system type.
    pub fs_type: String,
    /// Options of the file system, such as `rw,size=65536k`.
    pub fs_options: String,
    /// The host path of the same files, if the mount comes from a bind of the bundle.
    #[serde(with = "crate::text::option")]
    pub source: Option<PathBuf>,
    /// Whose business its contents are.
    #[serde(flatten)]
    pub class: MountClass,
}

impl Mount {
    /// Whether CRIU leaves its contents alone.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.class != MountClass::Internal
    }

    /// Whether its contents go into the checkpoint.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.class == MountClass::ExternalTmpfsPrivate
    }

    /// Whether the mount shows the whole file system and not a sub-directory.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.root == Path::new("/")
    }
}

/// All mounts of a container, in the order of its mountinfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MountMap {
    /// The mounts.
    pub mounts: Vec<Mount>,
}

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

impl MountMap {
    /// Classifies the mounts that the container's init sees (`mountinfo`) by what the bundle asked
    /// for.
    ///
    /// Every writable bind of a tmpfs directory counts as private until [`MountMap::share`] says
    /// otherwise. `is_directory` tells whether a host path is a directory.
    #[must_use]
    pub fn build(
        bundle: &Bundle,
        mountinfo: &[MountEntry],
        is_directory: impl Fn(&Path) -> bool,
    ) -> Self {
        let mounts = mountinfo
            .iter()
            .map(|entry| {
                let source =
                    bind_of(bundle, mountinfo, entry).and_then(|bind| source_of(bind, entry));
                let class = match &source {
                    None => MountClass::Internal,
                    Some(source) => classify(entry, source, &is_directory),
                };
                Mount {
                    destination: entry.mount_point.clone(),
                    id: entry.id,
                    device: entry.device,
                    root: entry.root.clone(),
                    fs_type: entry.fs_type.clone(),
                    fs_options: entry.super_options.clone(),
                    source,
                    class,
                }
            })
            .collect();
        Self { mounts }
    }

    /// Notes that others use the tmpfs that is mounted with mount id `id`.
    pub fn share(&mut self, id: u64, others: Vec<OtherUser>) {
        for mount in self.mounts.iter_mut().filter(|mount| mount.id == id) {
            mount.class = MountClass::ExternalTmpfsShared {
                others: others.clone(),
            };
        }
    }

    /// The mount with this mount id.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// Mounts whose contents go into the checkpoint.
    pub fn carried(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| mount.is_carried())
    }
}

/// The bind of the bundle behind a mount: its own, or the recursive one that brought it along.
fn bind_of<'b>(
    bundle: &'b Bundle,
    mountinfo: &[MountEntry],
    entry: &MountEntry,
) -> Option<&'b BundleMount> {
    // Several mounts on one mount point: only the uppermost, which is the bundle's last, shows.
    // `ctr run --mount` puts a bind over the tmpfs that its default specification has on /dev/shm.
    let covers =
        |other: &MountEntry| other.parent == entry.id && other.mount_point == entry.mount_point;
    if mountinfo.iter().any(covers) {
        return None;
    }
    if let Some(bind) = bundle.bind_at(&entry.mount_point) {
        return Some(bind);
    }
    // A mount that the bundle makes there is no part of the bind above it.
    if bundle
        .mounts
        .iter()
        .any(|mount| mount.destination == entry.mount_point)
    {
        return None;
    }
    let parent = mountinfo.iter().find(|other| other.id == entry.parent)?;
    bind_of(bundle, mountinfo, parent).filter(|bind| bind.recursive)
}

/// The host path that shows the same files as the mount.
fn source_of(bind: &BundleMount, entry: &MountEntry) -> Option<PathBuf> {
    let below = entry.mount_point.strip_prefix(&bind.destination).ok()?;
    Some(
        bind.bind_source
            .as_ref()?
            .join(below)
            .components()
            .collect(),
    )
}

fn classify(
    entry: &MountEntry,
    source: &Path,
    is_directory: &impl Fn(&Path) -> bool,
) -> MountClass {
    let ephemeral = |reason| MountClass::ExternalEphemeral { reason };
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
    } else if !is_directory(&entry.mount_point) {
        ephemeral(EphemeralReason::SingleFile)
    } else {
        MountClass::ExternalTmpfsPrivate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;

    const MOUNTINFO: &[u8] = b"\
10 1 0:40 / / rw - overlay overlay rw
11 10 0:41 / /proc rw - proc proc rw
12 10 0:42 / /dev rw - tmpfs tmpfs rw
13 12 0:43 / /dev/shm rw - tmpfs shm rw,size=65536k
14 10 8:1 /data /data rw - ext4 /dev/sda1 rw
15 14 0:44 / /data/ram rw - tmpfs tmpfs rw
16 10 0:45 / /secrets ro - tmpfs tmpfs rw
17 10 0:46 /x.sock /x.sock rw - tmpfs tmpfs rw
18 10 0:47 / /share rw - nfs4 server:/x rw
19 13 0:48 / /dev/shm/own rw - tmpfs tmpfs rw
20 10 0:49 / /token rw - tmpfs tmpfs rw
21 10 0:50 / /stack rw - tmpfs shm rw
22 21 0:51 / /stack rw - tmpfs tmpfs rw
";

    fn bind(destination: &str, source: &str, recursive: bool) -> BundleMount {
        BundleMount {
            destination: destination.into(),
            bind_source: Some(source.into()),
            recursive,
        }
    }

    fn map() -> MountMap {
        let bundle = Bundle {
            path: "/b".into(),
            mounts: vec![
                BundleMount {
                    destination: "/dev".into(),
                    bind_source: None,
                    recursive: false,
                },
                bind("/dev/shm", "/run/shm/a", false),
                BundleMount {
                    destination: "/stack".into(),
                    bind_source: None,
                    recursive: false,
                },
                bind("/stack", "/run/stack", false),
                bind("/data", "/srv/data", true),
                bind("/secrets", "/run/secrets", true),
                bind("/x.sock", "/run/x.sock", true),
                bind("/share", "/mnt/share", true),
                bind(
                    "/token",
                    "/var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/t",
                    true,
                ),
            ],
            annotations: Default::default(),
        };
        let mountinfo = mountinfo::parse(MOUNTINFO).unwrap();
        MountMap::build(&bundle, &mountinfo, |path| path != Path::new("/x.sock"))
    }

    fn class(destination: &str) -> MountClass {
        let map = map();
        let found = map
            .mounts
            .iter()
            .find(|mount| mount.destination == Path::new(destination));
        found.unwrap().class.clone()
    }

    fn ephemeral(reason: EphemeralReason) -> MountClass {
        MountClass::ExternalEphemeral { reason }
    }

    #[test]
    fn each_class_is_told() {
        assert_eq!(class("/"), MountClass::Internal);
        assert_eq!(class("/dev"), MountClass::Internal);
        assert_eq!(class("/dev/shm"), MountClass::ExternalTmpfsPrivate);
        assert_eq!(class("/data"), ephemeral(EphemeralReason::NotTmpfs));
        assert_eq!(class("/share"), MountClass::ExternalPersistent);
        assert_eq!(class("/secrets"), ephemeral(EphemeralReason::ReadOnly));
        assert_eq!(class("/x.sock"), ephemeral(EphemeralReason::SingleFile));
        assert_eq!(class("/token"), ephemeral(EphemeralReason::KubeletVolume));
    }

    #[test]
    fn a_mount_below_a_recursive_bind_is_external_and_one_below_a_plain_bind_is_the_containers() {
        assert_eq!(class("/data/ram"), MountClass::ExternalTmpfsPrivate);
        assert_eq!(class("/dev/shm/own"), MountClass::Internal);
    }

    #[test]
    fn of_stacked_mounts_only_the_uppermost_is_the_bind() {
        let map = map();
        assert_eq!(map.by_id(21).unwrap().class, MountClass::Internal);
        assert_eq!(
            map.by_id(22).unwrap().class,
            MountClass::ExternalTmpfsPrivate
        );
    }

    #[test]
    fn the_source_of_a_mount_below_a_bind_lies_below_its_source() {
        let map = map();
        let source = |id| map.by_id(id).unwrap().source.clone();
        assert_eq!(source(15), Some("/srv/data/ram".into()));
        assert_eq!(source(13), Some("/run/shm/a".into()));
        assert_eq!(source(12), None);
    }

    #[test]
    fn a_shared_tmpfs_is_not_carried() {
        let mut map = map();
        assert_eq!(map.carried().count(), 3);
        map.share(13, vec![]);
        assert!(map.carried().all(|mount| mount.id != 13));
        assert!(map.by_id(13).unwrap().is_external());
    }
}

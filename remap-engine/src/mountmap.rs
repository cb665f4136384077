//! The mount map: for each mount of a container, whose business its contents are.
//!
//! CRIU dumps the contents of mounts that it manages itself (a tmpfs that the spec declares, one
//! that the container mounted). A bind mount is *external* to it: runc passes it as
//! `ext_mnt` and CRIU neither dumps nor restores what is on it (runc
//! `libcontainer/criu_linux.go`, `addCriuDumpMount`).

mod build;
mod host;
mod policy;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::criu::config::ExternalMount;
use crate::mountinfo::{Device, MountEntry};
use crate::ownership::OtherUser;
use crate::policy::MountPolicy;
use crate::process::FileUse;

pub use self::build::View;
pub use self::host::HostMounts;
pub(crate) use self::host::place_on;

/// Whose business the contents of a mount are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "class")]
pub enum MountClass {
    /// CRIU's, or (the root) the snapshotter's.
    Internal,
    /// A bind of a tmpfs that only the container uses: carried whole.
    ExternalTmpfsPrivate,
    /// A bind of a tmpfs that others use, too: only what the container alone holds is carried.
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
    /// A tmpfs that came along with a bind of what lies above it, and is not used.
    UnusedBelowBind,
    /// A single file of a tmpfs (a socket, a `resolv.conf`): it belongs to the host.
    SingleFile,
    /// A tmpfs that is there for the mount points of control groups: the target has its own.
    ControlGroups,
    /// Another bind of the bundle lies on it, at the same mount point.
    Covered,
    /// Another mount lies on it, and what the host shows at its source is something else: its
    /// contents cannot be read.
    OutOfReach,
    /// An annotation says that its contents are none of ours.
    Ignored,
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
    /// Where the bundle put it, if it comes from a bind of the bundle: the destination that the
    /// bundle names, which can lead here by way of symbolic links.
    #[serde(with = "crate::text::option")]
    pub asked_for: Option<PathBuf>,
    /// The host path of the same files, if the mount comes from a bind of the bundle.
    #[serde(with = "crate::text::option")]
    pub source: Option<PathBuf>,
    /// Whose business its contents are.
    #[serde(flatten)]
    pub class: MountClass,
    /// What the container's annotations want for it; plans of earlier builds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<MountPolicy>,
    /// Whether it came from the host below a bind of the bundle. The runtime tells CRIU only of the
    /// bundle's own mounts, so the engine has to tell of this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub along: bool,
    /// Whether it is the container's own and lies on a bind, at the same mount point. CRIU goes by
    /// mount points (`try_resolve_ext_mount`) and takes it for the bind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upon_bind: bool,
}

impl Mount {
    /// One of the container's own, as its mountinfo has it.
    #[must_use]
    pub fn internal(entry: &MountEntry) -> Self {
        Self {
            destination: entry.mount_point.clone(),
            id: entry.id,
            device: entry.device,
            root: entry.root.clone(),
            fs_type: entry.fs_type.clone(),
            fs_options: entry.super_options.clone(),
            asked_for: None,
            source: None,
            class: MountClass::Internal,
            policy: None,
            along: false,
            upon_bind: false,
        }
    }

    /// Whether CRIU leaves its contents alone.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.class != MountClass::Internal
    }

    /// Whether it is a tmpfs of the host's of which contents may be carried.
    #[must_use]
    pub fn is_tmpfs_of_host(&self) -> bool {
        use MountClass::{ExternalTmpfsPrivate, ExternalTmpfsShared};
        matches!(
            self.class,
            ExternalTmpfsPrivate | ExternalTmpfsShared { .. }
        )
    }

    /// Whether its contents go into the checkpoint.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        match self.class {
            _ if self.is_ghosted() => false,
            MountClass::ExternalTmpfsPrivate => true,
            // With what others hold there, as an annotation wants it.
            MountClass::ExternalTmpfsShared { .. } => self.is_to_be_carried(),
            _ => false,
        }
    }

    /// Whether the files that the container holds there go into the images, by policy.
    #[must_use]
    pub fn is_ghosted(&self) -> bool {
        let wanted = [Some(MountPolicy::Ghost), Some(MountPolicy::Nameless)];
        self.is_external() && wanted.contains(&self.policy)
    }

    /// Where the bundle has it, by which its restore finds it: its mount point, if the bundle does not
    /// say another way there.
    #[must_use]
    pub fn name(&self) -> &Path {
        self.asked_for.as_deref().unwrap_or(&self.destination)
    }

    /// Whether both mounts show the same directory.
    #[must_use]
    pub fn shows_same_as(&self, other: &Self) -> bool {
        (self.device, &self.root) == (other.device, &other.root)
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

impl MountMap {
    /// Notes that others use the tmpfs that is mounted with mount id `id`.
    pub fn share(&mut self, id: u64, others: Vec<OtherUser>) {
        for mount in self.mounts.iter_mut().filter(|mount| mount.id == id) {
            mount.class = MountClass::ExternalTmpfsShared {
                others: others.clone(),
            };
        }
    }

    /// Leaves out what came along with a bind (of the host's `/`, say) and is not used: most of it is
    /// the host's own business.
    pub fn leave_unused(&mut self, uses: &[FileUse]) {
        for mount in self.mounts.iter_mut().filter(|mount| mount.is_carried()) {
            let is_used = uses.iter().any(|one| one.mount_id == mount.id);
            if mount.along && !is_used && !mount.is_to_be_carried() {
                let reason = EphemeralReason::UnusedBelowBind;
                mount.class = MountClass::ExternalEphemeral { reason };
            }
        }
    }

    /// Notes that the contents of a mount cannot be read.
    pub fn out_of_reach(&mut self, id: u64) {
        for mount in self.mounts.iter_mut().filter(|mount| mount.id == id) {
            mount.class = MountClass::ExternalEphemeral {
                reason: EphemeralReason::OutOfReach,
            };
        }
    }

    /// The mount with this mount id.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// The mounts that came along with a bind of the bundle.
    pub fn along(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| mount.along)
    }

    /// What CRIU has to be told of them for a dump. In the images they are named as in the bundle.
    #[must_use]
    pub fn external(&self) -> Vec<ExternalMount> {
        let told = self.along().map(|mount| ExternalMount {
            key: mount.destination.clone(),
            value: mount.name().to_owned(),
        });
        told.collect()
    }

    /// Mounts whose contents go into the checkpoint.
    pub fn carried(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| mount.is_carried())
    }
}

#[cfg(test)]
impl Mount {
    /// A whole tmpfs with an id of its own and the device 0:9.
    pub(crate) fn tmpfs(id: u64, destination: &str, class: MountClass) -> Self {
        Self {
            destination: destination.into(),
            id,
            device: Device { major: 0, minor: 9 },
            root: "/".into(),
            fs_type: "tmpfs".into(),
            fs_options: String::new(),
            asked_for: None,
            source: None,
            class,
            policy: None,
            along: false,
            upon_bind: false,
        }
    }
}

#[cfg(test)]
mod tests;

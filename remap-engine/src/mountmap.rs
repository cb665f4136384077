//! The mount map: for each mount of a container, whose business its contents are.
//!
//! CRIU dumps the contents of mounts that it manages itself (a tmpfs that the spec declares, one
//! that the container mounted). A bind mount is *external* to it: runc passes it as
//! `ext_mnt` and CRIU neither dumps nor restores what is on it (runc
//! `libcontainer/criu_linux.go`, `addCriuDumpMount`).

mod build;
mod policy;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, BundleMount};
use crate::mountinfo::Device;
use crate::ownership::OtherUser;
use crate::policy::MountPolicy;
use crate::process::FileUse;

pub use self::build::View;

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
    /// A tmpfs that came along with a recursive bind of what lies above it, and is not used.
    UnusedBelowBind,
    /// A single file of a tmpfs (a socket, a `resolv.conf`): it belongs to the host.
    SingleFile,
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

    /// Leaves out what came along with a recursive bind (`/` of the host, say) and is not used:
    /// most of it is the host's own business.
    pub fn leave_unused(&mut self, bundle: &Bundle, uses: &[FileUse]) {
        for mount in self.mounts.iter_mut().filter(|mount| mount.is_carried()) {
            let own = |wanted: &BundleMount| mount.asked_for.as_ref() == Some(&wanted.destination);
            let is_used = uses.iter().any(|one| one.mount_id == mount.id);
            if !is_used && !mount.is_to_be_carried() && !bundle.mounts.iter().any(own) {
                let reason = EphemeralReason::UnusedBelowBind;
                mount.class = MountClass::ExternalEphemeral { reason };
            }
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

#[cfg(test)]
mod tests;

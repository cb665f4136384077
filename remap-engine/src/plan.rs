//! The plan: one decision for each inode that needs care. Pure: data in, plan out.
//!
//! How CRIU would treat a file without us is `check_path_remap` in its `files-reg.c`: an inode
//! without names becomes a ghost file in the images; one whose opened name is gone while others
//! live gets a new name `link_remap.N` beside it (LINKED), which only helps where the file system
//! travels with the container.

mod name;
mod proc_file;
mod refusal;
mod warning;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::criu::config::DEFAULT_GHOST_LIMIT_BYTES;
use crate::mountinfo::Device;
use crate::mountmap::{Mount, MountClass, MountMap};
use crate::obstacle::{Kind, Obstacle};
use crate::policy::MountPolicy;
use crate::process::{FileUse, UseKind};
use crate::scan::{ExecSession, NameState, Scan, Survivor};

pub use self::refusal::Refusal;

/// Version of the plan's JSON form.
pub const PLAN_VERSION: u32 = 1;

/// Name of the plan in the image directory.
pub const PLAN_FILE: &str = "remap-plan.json";

/// The JSON Schema of the plan.
pub const PLAN_SCHEMA: &str = include_str!("../schema/remap-plan.json");

/// What happens with one inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// Carried with its mount, or alone from one that others use, with all its names: it stays one
    /// inode.
    Carried,
    /// No name is left: CRIU puts its contents into the images.
    Ghost,
    /// By policy: its contents go into the images, and its names are made again on the target.
    GhostRelinked,
    /// By policy: its contents go into the images, and it has no name on the target.
    GhostNameless,
    /// On a tmpfs that CRIU dumps itself, with the name that CRIU makes for it.
    Linked,
    /// The name by which it was opened is gone, and another lives, on the root or on a mount that
    /// is not carried: a restore links the name that CRIU needs from that one.
    Relinked {
        /// The name that lives, in the container.
        #[serde(with = "crate::text")]
        survivor: PathBuf,
    },
    /// A memory file: CRIU dumps it as such, whatever its name looks like.
    Memfd,
    /// A file of a process in `/proc` that has ended: CRIU makes a helper with its pid.
    Procfs,
    /// On a tmpfs, and others hold it as well: the checkpoint is refused.
    Shared,
    /// Named, on an external mount that is not carried: the target must have it.
    Stays,
    /// On a mount of which the container may hold no file, as an annotation says: the checkpoint is
    /// refused.
    Forbidden,
    /// The kernel shows it as deleted, but its name is alive (lxcfs, cgroup): earlier builds left it
    /// to CRIU, which fails.
    StaleName,
    /// It would be lost or would come back as another file.
    Unsupported {
        /// Why.
        reason: String,
        /// What the operator can do.
        remedy: String,
    },
}

/// One inode and what holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlan {
    /// `st_dev`.
    pub device: Device,
    /// `st_ino`.
    pub inode: u64,
    /// The mount through which it is held.
    pub mount: Option<MountPoint>,
    /// Number of its names.
    pub links: u32,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Allocated bytes.
    pub allocated_bytes: u64,
    /// Who holds it, how, and by which name.
    pub holders: Vec<Holder>,
    /// What happens with it.
    #[serde(flatten)]
    pub decision: Decision,
}

/// A mount point, as text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MountPoint(#[serde(with = "crate::text")] pub PathBuf);

/// One use of an inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: i32,
    /// How it holds the file.
    pub by: UseKind,
    /// The name that the kernel shows.
    #[serde(with = "crate::text")]
    pub name: OsString,
}

/// The plan of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemapPlan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// The mounts, classified.
    #[serde(flatten)]
    pub map: MountMap,
    /// Inodes that need care.
    pub files: Vec<FilePlan>,
    /// Tasks that `exec` put into the container: not part of the checkpoint.
    pub exec_sessions: Vec<ExecSession>,
    /// What else CRIU may refuse. Plans of earlier builds have none.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// What CRIU's `ghost-limit` must be at least, in bytes.
    pub ghost_limit_bytes: u64,
}

/// Decides for every inode that the scan found.
#[must_use]
pub fn plan(scan: &Scan) -> RemapPlan {
    let inode = |one: &&FileUse| (one.device, one.inode);
    let mut uses: Vec<&FileUse> = scan.uses.iter().filter(|one| is_path(one)).collect();
    uses.sort_by_key(inode);
    let inodes = uses.chunk_by(|one, next| inode(one) == inode(next));
    let mut files: Vec<FilePlan> = inodes.filter_map(|uses| file_plan(scan, uses)).collect();
    files.shrink_to_fit();
    let largest_ghost = files
        .iter()
        .filter(|file| file.decision == Decision::Ghost)
        .map(|file| file.allocated_bytes)
        .max();
    RemapPlan {
        version: PLAN_VERSION,
        map: scan.map.clone(),
        ghost_limit_bytes: largest_ghost.unwrap_or(0).max(DEFAULT_GHOST_LIMIT_BYTES),
        files,
        exec_sessions: scan.exec_sessions.clone(),
        obstacles: scan.obstacles.clone(),
    }
}

/// Sockets, pipes and anonymous inodes have no path (`socket:[…]`): CRIU has types of their own
/// for them.
fn is_path(one: &FileUse) -> bool {
    one.name.as_encoded_bytes().starts_with(b"/")
}

fn file_plan(scan: &Scan, uses: &[&FileUse]) -> Option<FilePlan> {
    let first = uses.first()?;
    let mount = uses.iter().find_map(|one| scan.mount_of(one));
    let state = uses
        .iter()
        .filter_map(|one| scan.names.state(one))
        .find(|state| *state != NameState::Live);
    let decision = if first.device == scan.memfd_device {
        memory(uses)
    } else if let Some(file) = uses.iter().find_map(|one| scan.proc_files.of(one)) {
        proc_file::decide(file, mount?)?
    } else {
        // A directory is a place that many may be in, and a device is the kernel's: the target's own
        // serves as well.
        let is_place = (first.is_directory() || is_device(first)) && first.links > 0;
        let others = mount.and_then(|mount| scan.held_by_others.get(&mount.id));
        let holds = |(inode, _): &(u64, i32)| *inode == first.inode;
        let is_forbidden = mount.is_some_and(|mount| mount.is_to(MountPolicy::Refuse));
        let from = (first.inode, i32::MIN);
        let by_others = others
            .and_then(|held| held.range(from..).next())
            .is_some_and(holds);
        if is_forbidden && !is_place {
            Decision::Forbidden
        } else {
            decide(scan, mount?, first, state, by_others && !is_place)?
        }
    };
    Some(FilePlan {
        device: first.device,
        inode: first.inode,
        mount: mount.map(|mount| MountPoint(mount.destination.clone())),
        links: first.links,
        size_bytes: first.size_bytes,
        allocated_bytes: first.allocated_bytes,
        holders: uses
            .iter()
            .map(|one| Holder {
                pid: one.pid,
                by: one.kind.clone(),
                name: one.name.clone(),
            })
            .collect(),
        decision,
    })
}

/// CRIU opens an executable as a file, and has none (`try_collect_special_file`).
fn memory(uses: &[&FileUse]) -> Decision {
    if uses.iter().all(|one| one.kind != UseKind::Exe) {
        return Decision::Memfd;
    }
    Decision::Unsupported {
        reason: "it is an executable, and lives in memory only".into(),
        remedy: "start the program from a file".into(),
    }
}

/// The decision for an inode on `mount`; `None` if nothing is to be done. `state` is that of a
/// name that only looks alive or is gone, if there is one among the names by which it is held;
/// `by_others` says that it has contents which others hold as well.
fn decide(
    scan: &Scan,
    mount: &Mount,
    file: &FileUse,
    state: Option<NameState>,
    by_others: bool,
) -> Option<Decision> {
    let is_outside = state == Some(NameState::Outside);
    if file.links == 0 && !is_outside && (!by_others || mount.is_ghosted()) {
        return Some(Decision::Ghost);
    }
    if let Some(refused) = name::refused(mount, state) {
        return Some(refused);
    }
    if mount.is_ghosted() {
        return ghosted(mount, file);
    }
    match (&mount.class, state) {
        // That of the host's `/dev` is not the container's.
        (MountClass::ExternalTmpfsShared { .. }, None | Some(NameState::Live))
            if is_device(file) && !mount.is_carried() =>
        {
            Some(Decision::Stays)
        }
        (MountClass::ExternalTmpfsShared { .. }, _) if by_others => Some(Decision::Shared),
        (MountClass::ExternalTmpfsPrivate | MountClass::ExternalTmpfsShared { .. }, _) => {
            Some(Decision::Carried)
        }
        (MountClass::Internal, None | Some(NameState::Live)) => None,
        (_, None | Some(NameState::Live)) => Some(Decision::Stays),
        (MountClass::Internal, Some(_)) if mount.fs_type == "tmpfs" => Some(Decision::Linked),
        (_, Some(_)) if mount.is_to(MountPolicy::Ignore) => Some(Decision::Stays),
        (_, Some(_)) => Some(not_carried(scan, mount, file)),
    }
}

fn is_device(file: &FileUse) -> bool {
    let kind = FileType::from_raw_mode(file.mode);
    matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
}

/// The decision for an inode with names on a mount whose policy wants files in the images.
fn ghosted(mount: &Mount, file: &FileUse) -> Option<Decision> {
    let destination = mount.destination.display();
    let not_in_images = |what| Decision::Unsupported {
        reason: format!(
            "{what} cannot go into the images, as the policy of {destination} wants for all that is held there"
        ),
        remedy: format!("close it, or set another policy for {destination}"),
    };
    match FileType::from_raw_mode(file.mode) {
        // The mount point: the target's own serves as well.
        FileType::Directory if Path::new(&file.name) == mount.destination => None,
        FileType::Directory => Some(not_in_images("a directory below the mount point")),
        FileType::Socket => Some(not_in_images("a socket")),
        _ if mount.policy == Some(MountPolicy::Nameless) => Some(Decision::GhostNameless),
        _ => Some(Decision::GhostRelinked),
    }
}

/// The decision for an inode whose opened name is gone while others live, where the file system
/// does not travel with the container.
fn not_carried(scan: &Scan, mount: &Mount, file: &FileUse) -> Decision {
    let why = match scan.survivors.of(file.device, file.inode) {
        Some(Survivor::Name(name)) => {
            return Decision::Relinked {
                survivor: name.clone(),
            };
        }
        // It only looks as if others lived, and CRIU finds that out (`check_overlayfs_fallback`).
        Some(Survivor::Nothing) => return Decision::Ghost,
        Some(Survivor::Unknown(why)) => why.as_str(),
        None => "it cannot be linked there",
    };
    let destination = mount.destination.display();
    Decision::Unsupported {
        reason: format!(
            "the name by which it was opened is gone while others live, on {destination} ({}), which is not carried, and {why}: it would not come back",
            mount.fs_type
        ),
        remedy: "close the file, or open it by a name that lives, or keep it on a tmpfs of the container's own".into(),
    }
}

impl RemapPlan {
    /// The tmpfs mounts that others use, of which some inodes are carried, and these.
    pub fn carried_in_part(&self) -> impl Iterator<Item = (&Mount, HashSet<u64>)> {
        let shared = self
            .map
            .mounts
            .iter()
            .filter(|mount| matches!(mount.class, MountClass::ExternalTmpfsShared { .. }))
            .filter(|mount| !mount.is_carried());
        shared.filter_map(|mount| {
            let on_it = |file: &&FilePlan| {
                file.decision == Decision::Carried && file.device == mount.device
            };
            let inodes: HashSet<u64> = self
                .files
                .iter()
                .filter(on_it)
                .map(|file| file.inode)
                .collect();
            (!inodes.is_empty()).then_some((mount, inodes))
        })
    }

    /// How many bytes go into the images by policy.
    #[must_use]
    pub fn ghosted_bytes(&self) -> u64 {
        let decided = [Decision::GhostRelinked, Decision::GhostNameless];
        let ghosts = self.files.iter();
        ghosts
            .filter(|file| decided.contains(&file.decision))
            .fold(0, |sum, file| sum.saturating_add(file.allocated_bytes))
    }

    /// Where CRIU has to look for files that are watched; it looks at the root itself.
    #[must_use]
    pub fn watched(&self) -> Vec<PathBuf> {
        let paths = self.obstacles.iter().filter_map(|one| match &one.kind {
            Kind::Watch { path } => path.clone(),
            _ => None,
        });
        paths.filter(|path| path != Path::new("/")).collect()
    }

    /// The plan as the JSON document that lies beside the images.
    ///
    /// # Errors
    /// None that is known: every field has a JSON form.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }
}

#[cfg(test)]
mod tests;

//! The scan: what the frozen tasks of a container hold, and who else holds it.

mod names;
mod nested;
mod open;
mod patience;
mod proc_files;
mod running;
mod survivors;
mod viewers;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::mountinfo::Device;
use crate::mountmap::{HostMounts, Mount, MountClass, MountMap};
use crate::obstacle::{self, Held, Obstacle};
use crate::ownership::{self, Bystanders, Extent, Wanted};
use crate::parallel;
use crate::policy::Policy;
use crate::process::{self, FileUse, Process, ProcessError};
use crate::together::{Moment, Neighbours};

use self::patience::Patience;
use self::viewers::Viewers;

use self::open::open_mount_with;

pub use self::names::{DeletedNames, NameState};
pub use self::open::open_mount;
pub use self::proc_files::{Owner, ProcFile, ProcFiles};
pub use self::running::{freshen_names, scan_running};
pub use self::survivors::{Survivor, Survivors};

/// How long file systems may take that do not answer at once, all together.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was seen of the container, as a rule while its tasks were frozen.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Every mount, classified, with ownership decided.
    pub map: MountMap,
    /// Mounts of namespaces within the container, of file systems of which init has none.
    pub nested: Vec<Mount>,
    /// What others hold of a shared mount, by its id: inodes, each with the pid that holds it.
    pub held_by_others: HashMap<u64, BTreeSet<(u64, i32)>>,
    /// Every use of a file by init and its descendants.
    pub uses: Vec<FileUse>,
    /// Of those names among them that look deleted, what became of them.
    pub names: DeletedNames,
    /// Of those that are files of processes, whose they are.
    pub proc_files: ProcFiles,
    /// Of files whose opened name is gone on the root or on a mount that is not carried, what else
    /// names them.
    pub survivors: Survivors,
    /// Tasks in the container's control group outside init's tree (exec sessions): frozen with
    /// the others, not dumped by CRIU.
    pub exec_sessions: Vec<ExecSession>,
    /// What else CRIU may refuse to dump.
    pub obstacles: Vec<Obstacle>,
    /// The device of memfds.
    pub memfd_device: Device,
}

impl Scan {
    /// The mount by which a file is held.
    #[must_use]
    pub fn mount_of(&self, one: &FileUse) -> Option<&Mount> {
        let nested = || self.nested.iter().find(|mount| mount.id == one.mount_id);
        self.map.by_id(one.mount_id).or_else(nested)
    }
}

/// Whether one of the processes above is a member: of a container that runs, children may have come
/// since its tree was listed.
fn descends(process: &Process, members: &HashSet<i32>) -> bool {
    let above = |pid: &i32| Process::pin(*pid).ok()?.parent();
    std::iter::successors(process.parent(), above).any(|pid| members.contains(&pid))
}

/// A task that was put into the container beside init's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSession {
    /// The process.
    pub pid: i32,
    /// Its command name.
    pub command: String,
}

/// The scan could not be made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A process of the container.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// `/proc` or a memfd.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The tmpfs cannot be walked.
    #[error("cannot list the files of mount {destination}")]
    Walk {
        /// The mount point in the container.
        destination: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The container is gone.
    #[error("the container's first process, pid {pid}, has ended")]
    Ended {
        /// The process.
        pid: i32,
    },
    /// What is at the mount point is another mount.
    #[error(
        "mount {destination} (id {id}) is covered by another mount, and its source on the host shows something else; unmount the upper one"
    )]
    Covered {
        /// The mount point in the container.
        destination: PathBuf,
        /// The mount wanted.
        id: u64,
    },
}

/// Looks at the container whose init is `init`, which with all its descendants is frozen. Of the
/// other processes the `bystanders` were looked at before.
///
/// # Errors
/// See [`ScanError`]. The container is only read.
pub fn scan(bundle: &Bundle, init: i32, bystanders: &Bystanders) -> Result<Scan, ScanError> {
    let tree = process::process_tree(init)?;
    look(bundle, &tree, bystanders)
}

/// Looks at what the processes of `tree`, init first, hold, and around.
fn look(bundle: &Bundle, tree: &[Process], bystanders: &Bystanders) -> Result<Scan, ScanError> {
    let system = |what| move |source| ScanError::System { what, source };
    let memfd_device = process::memfd_device().map_err(system("make a memfd"))?;
    let Some(root) = tree.first() else {
        return Ok(Scan {
            map: MountMap::default(),
            nested: Vec::new(),
            held_by_others: HashMap::new(),
            uses: Vec::new(),
            names: DeletedNames::default(),
            proc_files: ProcFiles::default(),
            survivors: Survivors::default(),
            exec_sessions: Vec::new(),
            obstacles: Vec::new(),
            memfd_device,
        });
    };
    let patience = Patience::new(PATIENCE);
    let viewers = Viewers::of(tree)?;
    let mut uses = file_uses(tree, &viewers)?;
    let names = DeletedNames::look(tree, &viewers, &mut uses, &patience);
    let proc_files = ProcFiles::look(tree, &viewers, &uses, &patience)?;
    let obstacles = obstacle::find(&Held::new(tree, &uses, memfd_device))?;
    let host = HostMounts::look().map_err(system("list the mounts of the host"))?;
    let mut map = MountMap::build(bundle, &root.mounts()?, &host, root);
    map.apply(&Policy::of(&bundle.annotations).overrides);

    let members: HashSet<i32> = tree.iter().map(Process::pid).collect();
    let frozen =
        ownership::same_cgroup(root, &host).map_err(system("list the container's processes"))?;
    let exec_sessions = frozen.difference(&members).filter_map(|pid| {
        let process = Process::pin(*pid).ok()?;
        // One that has ended and waits to be reaped is nothing that could be lost.
        let is_session = !process.has_ended() && !descends(&process, &members);
        is_session.then(|| ExecSession {
            pid: *pid,
            command: process.command(),
        })
    });
    let exec_sessions = exec_sessions.collect();
    let container: HashSet<i32> = frozen.union(&members).copied().collect();
    let nested = nested::adopt(&map, &viewers, &names, &mut uses);
    map.leave_unused(&uses);
    let owned = |mount: &&Mount| mount.class == MountClass::ExternalTmpfsPrivate;
    let owned: Vec<Mount> = map.mounts.iter().filter(owned).cloned().collect();
    let (mut carried, mut wanted) = (Vec::new(), Vec::new());
    for mount in owned {
        match wanted_of(root, &host, &mount, &uses) {
            Ok(part) => {
                carried.push(mount);
                wanted.push(part);
            }
            // The plan says so.
            Err(ScanError::Covered { .. }) => map.out_of_reach(mount.id),
            Err(error) => return Err(error),
        }
    }
    let others = ownership::other_users(&wanted, &container, bystanders)
        .map_err(system("list processes"))?;
    let mut held_by_others = HashMap::new();
    let moment = Moment::of(&bundle.path, root);
    let neighbours = if others.iter().any(|others| !others.users.is_empty()) {
        Neighbours::of(bundle)
    } else {
        Neighbours::default()
    };
    for (mount, mut others) in carried.iter().zip(others) {
        neighbours.tell(mount, &mut others);
        let is_shared = |moment: &Moment| moment.is_shared(mount.device);
        let is_a_systems = host.is_a_systems(mount.device, &mount.root, &bundle.path);
        let others_use_it = is_a_systems || !others.users.is_empty();
        if others_use_it || moment.as_ref().is_some_and(is_shared) {
            map.share(mount.id, others.users);
            held_by_others.insert(mount.id, others.inodes);
        }
    }
    Ok(Scan {
        survivors: Survivors::look(root, &map, &uses, &names, memfd_device),
        map,
        nested,
        held_by_others,
        names,
        proc_files,
        uses,
        exec_sessions,
        obstacles,
        memfd_device,
    })
}

/// What all processes of `tree` hold, in their order.
fn file_uses(tree: &[Process], viewers: &Viewers) -> Result<Vec<FileUse>, ProcessError> {
    let sole = viewers.sole_mounts();
    let by_process = parallel::map(tree, |process| process.file_uses(&sole))?;
    let mut uses = Vec::with_capacity(by_process.iter().map(Vec::len).sum());
    for held in by_process {
        uses.extend(held);
    }
    Ok(uses)
}

/// The part of a file system that a mount stands for: what it shows, and what the container holds
/// of it.
fn wanted_of(
    root: &Process,
    host: &HostMounts,
    mount: &Mount,
    uses: &[FileUse],
) -> Result<Wanted, ScanError> {
    let dir = open_mount_with(root, host, mount)?;
    let held = uses.iter().filter(|one| one.mount_id == mount.id);
    let own: HashSet<u64> = held.map(|one| one.inode).collect();
    let extent = if mount.is_whole() {
        Extent::Whole
    } else {
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let shown = inodes_below(Path::new(&path)).map_err(|source| ScanError::Walk {
            destination: mount.destination.clone(),
            source,
        })?;
        Extent::Inodes(shown.union(&own).copied().collect())
    };
    Ok(Wanted {
        device: mount.device,
        extent,
        directories: false,
        own,
    })
}

/// The inodes of a directory and of all that lies below it on the same file system; symbolic links
/// are not followed. What vanishes meanwhile is left out.
pub(crate) fn inodes_below(dir: &Path) -> io::Result<HashSet<u64>> {
    let root = std::fs::metadata(dir)?;
    let mut inodes = HashSet::from([root.ino()]);
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let Some(entries) = unless_gone(std::fs::read_dir(dir))? else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let Some(metadata) = unless_gone(entry.metadata())? else {
                continue;
            };
            if metadata.dev() != root.dev() {
                continue;
            }
            inodes.insert(metadata.ino());
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(inodes)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

//! Who else uses the file system behind a mount.
//!
//! A tmpfs may be carried whole only if nobody outside the container holds anything on it. To
//! have it mounted is not to use it: the pause container of a Kubernetes pod has the pod's
//! `/dev/shm` mounted and holds nothing open there.

mod bystanders;
mod cgroup;
mod container;

use std::collections::{BTreeSet, HashSet};
use std::io;

use serde::{Deserialize, Serialize};

use crate::mountinfo::Device;
use crate::parallel;
use crate::process::{Process, UseKind, mapped_files};

pub use self::bystanders::Bystanders;
pub(crate) use self::cgroup::cgroup_path;
pub use self::cgroup::same_cgroup;

/// What of a file system counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All of it: the mount shows the file system's root.
    Whole,
    /// These inodes: the mount shows a sub-directory.
    Inodes(HashSet<u64>),
}

impl Extent {
    fn holds(&self, inode: u64) -> bool {
        match self {
            Self::Whole => true,
            Self::Inodes(inodes) => inodes.contains(&inode),
        }
    }
}

/// A process outside the container that uses a file there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherUser {
    /// The process.
    pub pid: i32,
    /// Its command name.
    pub command: String,
    /// Its control group, which names its container or unit.
    pub cgroup: String,
    /// The id of its container, if its control group says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How it holds the file.
    pub kind: UseKind,
    /// Inode number of the file; plans of the first builds have none.
    #[serde(default)]
    pub inode: u64,
    /// The name of the file as the kernel shows it, for messages.
    pub file: String,
    /// Whether that container moves along.
    #[serde(default)]
    pub along: Along,
}

/// Whether a container moves along with another that shares files with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Along {
    /// It is not declared to.
    #[default]
    No,
    /// It is, but runs.
    Runs,
    /// It is, but has another directory of the file system mounted.
    Elsewhere,
    /// It does: it is frozen.
    Stopped,
}

impl std::fmt::Display for OtherUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pid,
            command,
            cgroup,
            container,
            kind,
            file,
            ..
        } = self;
        match container {
            Some(id) => write!(f, "pid {pid} ({command}, container {id})")?,
            None => write!(f, "pid {pid} ({command}, cgroup {cgroup})")?,
        }
        write!(f, " by {kind} on {file}")
    }
}

/// A part of a file system whose users are looked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The file system.
    pub device: Device,
    /// What of it counts.
    pub extent: Extent,
    /// Whether to be in a directory there, or to list it, is to use it: whoever measures a volume
    /// now and then (the kubelet does) has none of its contents.
    pub directories: bool,
    /// Inodes that the container holds: a process that holds one of them, too, is named with it.
    pub own: HashSet<u64>,
}

/// Who uses a part of a file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// One use for each process.
    pub users: Vec<OtherUser>,
    /// Every inode that one of them holds, with its pid.
    pub inodes: BTreeSet<(u64, i32)>,
}

/// For each of `wanted`, the processes other than those in `except` that hold a file there. The
/// `bystanders` are not looked at once more.
///
/// Processes that end meanwhile are left out. A file that the kernel does not let root look at (on a
/// FUSE of another user) is none on a tmpfs.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn other_users(
    wanted: &[Wanted],
    except: &HashSet<i32>,
    bystanders: &Bystanders,
) -> io::Result<Vec<Others>> {
    let mut others = vec![Others::default(); wanted.len()];
    if wanted.is_empty() {
        return Ok(others);
    }
    let devices: HashSet<Device> = wanted.iter().map(|wanted| wanted.device).collect();
    let mut pids = all_pids()?;
    let may_hold = bystanders.without(&devices);
    pids.retain(|pid| !except.contains(pid) && may_hold(*pid));
    let by_process = parallel::map(&pids, |pid| {
        let Ok(process) = Process::pin(*pid) else {
            return Ok::<_, io::Error>(Vec::new());
        };
        let held = held_files(&process, &devices);
        let of = |wanted: &Wanted| Others::of(&process, &held, wanted);
        Ok(wanted.iter().map(of).collect())
    })?;
    for found in by_process {
        for (others, found) in others.iter_mut().zip(found) {
            others.users.extend(found.users);
            others.inodes.extend(found.inodes);
        }
    }
    Ok(others)
}

impl Others {
    /// The part of one process, which holds `held`.
    fn of(process: &Process, held: &[Held], wanted: &Wanted) -> Self {
        let on_it = |one: &&Held| {
            one.device == wanted.device
                && wanted.extent.holds(one.inode)
                && (wanted.directories || !one.is_directory)
        };
        let there: Vec<&Held> = held.iter().filter(on_it).collect();
        let shared = there.iter().find(|one| wanted.own.contains(&one.inode));
        let named = shared.or(there.first());
        let inodes = there.iter().map(|one| (one.inode, process.pid()));
        Self {
            users: named
                .map(|one| other_user(process, one))
                .into_iter()
                .collect(),
            inodes: inodes.collect(),
        }
    }
}

/// A file that a process holds.
struct Held {
    kind: UseKind,
    is_directory: bool,
    device: Device,
    inode: u64,
    name: String,
}

fn held_files(process: &Process, devices: &HashSet<Device>) -> Vec<Held> {
    if !process.has_ended() {
        return held_by_thread(process, devices);
    }
    // Its first thread has ended; others may go on.
    let threads = process.threads().unwrap_or_default();
    let held = |thread: &Process| held_by_thread(thread, devices);
    threads.iter().flat_map(held).collect()
}

/// What it holds on these devices.
fn held_by_thread(thread: &Process, devices: &HashSet<Device>) -> Vec<Held> {
    let uses = thread.uses_on(devices).into_iter();
    let mut held: Vec<Held> = uses
        .map(|one| Held {
            is_directory: one.is_directory(),
            kind: one.kind,
            device: one.device,
            inode: one.inode,
            name: one.name.to_string_lossy().into_owned(),
        })
        .collect();
    let maps = thread.read("maps").unwrap_or_default();
    let mut mappings = mapped_files(&maps);
    mappings.retain(|mapping| devices.contains(&mapping.device));
    held.extend(mappings.into_iter().map(|mapping| Held {
        kind: UseKind::Mapping(mapping.range.0, mapping.range.1),
        is_directory: false,
        device: mapping.device,
        inode: mapping.inode,
        name: String::from_utf8_lossy(&mapping.name).into_owned(),
    }));
    held
}

/// Every process that there is.
pub(crate) fn all_pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

fn other_user(process: &Process, held: &Held) -> OtherUser {
    let cgroup = cgroup_path(&process.read("cgroup").unwrap_or_default());
    OtherUser {
        pid: process.pid(),
        command: process.command(),
        container: container::id(&cgroup).map(str::to_owned),
        cgroup,
        kind: held.kind.clone(),
        inode: held.inode,
        file: held.name.clone(),
        along: Along::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn device_of(path: &std::path::Path) -> Device {
        let dev = std::fs::metadata(path).unwrap().dev();
        Device {
            major: rustix::fs::major(dev),
            minor: rustix::fs::minor(dev),
        }
    }

    #[test]
    fn a_process_with_an_open_file_is_named_and_one_excepted_is_not() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("held");
        let file = std::fs::File::create(&path).unwrap();
        let device = device_of(&path);
        let inode = file.metadata().unwrap().ino();
        let wanted = [
            Wanted {
                device,
                extent: Extent::Inodes(HashSet::from([inode])),
                directories: true,
                own: HashSet::new(),
            },
            Wanted {
                device,
                extent: Extent::Inodes(HashSet::new()),
                directories: true,
                own: HashSet::new(),
            },
        ];
        let own = i32::try_from(std::process::id()).unwrap();
        let others = other_users(&wanted, &HashSet::new(), &Bystanders::default()).unwrap();
        assert!(
            others[0]
                .users
                .iter()
                .any(|user| user.pid == own && user.file.ends_with("held"))
        );
        assert!(others[0].inodes.contains(&(inode, own)));
        assert_eq!(others[1], Others::default());
        let others = other_users(&wanted, &HashSet::from([own]), &Bystanders::default()).unwrap();
        assert_eq!(others, [Others::default(), Others::default()]);
    }

    #[test]
    fn a_process_is_named_with_the_file_that_it_shares() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let open = |name: &str| std::fs::File::create(dir.path().join(name)).unwrap();
        let files = ["a", "b", "c"].map(open);
        let inodes = files.each_ref().map(|file| file.metadata().unwrap().ino());
        let wanted = Wanted {
            device: device_of(dir.path()),
            extent: Extent::Inodes(inodes.into()),
            directories: false,
            own: HashSet::from([inodes[1]]),
        };
        let others = other_users(&[wanted], &HashSet::new(), &Bystanders::default()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let named = others[0].users.iter().find(|user| user.pid == own);
        assert!(named.unwrap().file.ends_with("/b"));
        assert_eq!(others[0].inodes, inodes.map(|inode| (inode, own)).into());
    }

    #[test]
    fn who_only_has_a_directory_is_no_user_unless_directories_count() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let held = std::fs::File::open(dir.path()).unwrap();
        let wanted = |directories| Wanted {
            device: device_of(dir.path()),
            extent: Extent::Inodes(HashSet::from([held.metadata().unwrap().ino()])),
            directories,
            own: HashSet::new(),
        };
        let others = other_users(
            &[wanted(false), wanted(true)],
            &HashSet::new(),
            &Bystanders::default(),
        )
        .unwrap();
        assert_eq!(others[0], Others::default());
        assert_eq!(others[1].users.len(), 1);
    }
}

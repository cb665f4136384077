//! What a container holds besides files that CRIU may refuse to dump: found by a look at the
//! frozen tasks, so that it can be said before anything is touched.
//!
//! Finding is apart from deciding. What is found here is a list of facts for the plan; whether one
//! of them forbids a checkpoint depends on what is asked for and on the CRIU at hand, and is
//! decided in [`crate::plan`]. What cannot be told for certain is not listed, and left to CRIU.

mod anonymous;
mod bound;
mod code;
mod covered;
mod device;
mod diag;
mod epoll;
mod fifo;
mod gone;
mod ground;
mod lock;
mod mount;
mod socket;
mod task;
#[cfg(test)]
mod tests;
mod unix;
mod unseen;
mod vfork;
mod watch;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::mountinfo::Device;
use crate::process::{FileUse, Process, ProcessError, UseKind};

pub use self::ground::{Ground, Plugins, kernel_answers_passcred};

/// Something that CRIU may refuse to dump, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Who holds it.
    pub holders: Vec<Holder>,
}

/// One process that holds an obstacle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: i32,
    /// Its command name.
    pub command: String,
    /// How it holds it; nothing if it is the process itself that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UseKind>,
    /// Its name, or more about it, for messages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// What can be in the way. Functions named here are CRIU's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "snake_case")]
pub enum Kind {
    /// A descriptor or mapping of an anonymous inode for which no CRIU has a type
    /// (`dump_one_file`).
    Anonymous {
        /// What the kernel calls it, such as `[io_uring]`.
        inode: String,
    },
    /// A pidfd, which CRIU before 4.1 does not know.
    Pidfd {
        /// Whether it stands for a process that is dumped, or for one that has ended.
        inside: bool,
    },
    /// A descriptor of a device that needs a plugin of CRIU's (`dump_chrdev`).
    Device {
        /// Whether it is a block device.
        block: bool,
        /// The device.
        device: Device,
    },
    /// A mapping of a device (`handle_vma`).
    DeviceMapping {
        /// The device.
        device: Device,
    },
    /// A TUN device, in the network namespace of CRIU (`dump_tunfile`).
    TunOfHost,
    /// A terminal of a file system of which the container does not see the whole: what is dumped is
    /// never restored (`open_ptmx`).
    TerminalOfHost,
    /// The terminal of a session (`/dev/tty`), opened by another process than the one that leads the
    /// session and has its terminal (`tty_verify_ctty`).
    ControllingTerminal,
    /// A file on a mount that no task of the container sees (`dump_one_reg_file`).
    UnknownMount,
    /// A file that another mount covers (`mnt_is_overmounted`, `check_path_remap`).
    Covered,
    /// A POSIX message queue: it lies on a mount of the kernel's own.
    MessageQueue,
    /// Memory of memfd_secret(2), by descriptor or mapping.
    SecretMemory,
    /// An internet or packet socket, on a kernel that does not answer `SO_PASSCRED` there
    /// (`dump_socket_opts`).
    SocketOptions,
    /// A socket of a family that CRIU does not know (`dump_socket`).
    SocketFamily {
        /// Its number (socket(2)).
        family: u16,
    },
    /// An internet socket of a protocol that CRIU does not know (`can_dump_ipproto`).
    SocketProtocol {
        /// Its number (protocols(5)).
        protocol: u32,
    },
    /// A TCP connection (`can_dump_inet_sk`).
    TcpConnection,
    /// A TCP listener with connections that were not accepted yet (`can_dump_inet_sk`).
    PendingConnections,
    /// A Unix socket whose other end no task of the container holds (`__dump_external_socket`).
    UnixOutside {
        /// Whether CRIU can reconnect it, if it is allowed to: a datagram socket whose other end
        /// has a name.
        reconnects: bool,
    },
    /// A Unix socket whose other end is in a network namespace that no task of the container has:
    /// CRIU does not find it, whatever it is allowed to (`dump_one_unix_fd`).
    UnixElsewhere,
    /// A Unix socket whose file has another name than the one under which it was bound, which CRIU
    /// would give it again (`bind_unix_sk`): in the images it gets the one that it has.
    UnixRenamed {
        /// Its inode.
        socket: u64,
        /// The name of its file, in the container.
        #[serde(with = "crate::text")]
        name: PathBuf,
    },
    /// A Unix socket whose file has several names: CRIU makes one (`bind_unix_sk`).
    UnixLinked,
    /// A Unix socket whose file has another name than the one under which it was bound, and none that
    /// it could be bound under.
    UnixLost,
    /// A Unix socket that was bound under a relative name with which the path of its file does not
    /// end (`cut_path_ending`).
    UnixRelative,
    /// An epoll that watches a file of which its process has no descriptor any more
    /// (`flush_eventpoll_dinfo_queue`).
    LostWatched,
    /// A process of which CRIU may not ask for the resource limits (`dump_task_rlimits`).
    UntoldLimits,
    /// A lock or a lease on a file (`dump_file_locks`).
    FileLock,
    /// A process whose session was begun outside the container's pid namespace (`dump_one_task`).
    ForeignSession,
    /// A process with a namespace of its own that CRIU cannot dump (`generate_ns_id`).
    Namespace {
        /// Its name below `/proc/PID/ns`.
        namespace: String,
    },
    /// A task that another one traces (ptrace(2)), as strace and gdb do.
    Traced,
    /// A thread with a file table of its own. CRIU takes that of the first thread for all of them
    /// and says nothing (`dump_one_task`).
    FileTable,
    /// A watch of inotify or fanotify of which CRIU cannot find the path itself
    /// (`check_open_handle`).
    Watch {
        /// Where it finds it when it is told; nothing if there is no path.
        #[serde(with = "crate::text::option")]
        path: Option<PathBuf>,
    },
    /// A FIFO that was opened with `O_PATH` (`dump_one_pipe_data`).
    PathOfFifo,
    /// A deleted directory whose name is taken again (`create_ghost`).
    RemadeDirectory,
    /// A deleted directory, and something else without names that was in it or had its name
    /// (`clean_one_remap`).
    NestedGone,
    /// A System V shared memory segment of CRIU's IPC namespace (`check_sysvipc_map_dump`).
    SystemVMemory,
    /// A task that a signal has stopped, in a container that a freezer of cgroup v1 freezes: CRIU waits
    /// for it to be traced until it is thawed (`seize_wait_task`, ptrace(2), PTRACE_SEIZE).
    Stopped,
    /// A task that waits for a child of vfork(2): it does not stop for CRIU before the child has run a
    /// program or ended, and the child is stopped already (`seize_wait_task`).
    Vfork,
    /// A process whose lowest code is in shared memory that nobody can write: CRIU has no place for
    /// its own (`get_exec_start`, ptrace(2), PTRACE_POKEDATA).
    SharedCode,
    /// A descriptor of a file at which nobody can look (`fill_fd_params`).
    Unseen,
}

/// What is looked at: the processes that CRIU would dump, and the files that they hold.
pub(crate) struct Held<'t> {
    /// Init and its descendants.
    all: Vec<Holding<'t>>,
    /// The device of memory files.
    memfd_device: Device,
}

/// A process and what it holds.
struct Holding<'t> {
    process: &'t Process,
    uses: &'t [FileUse],
    /// Of one that has ended nothing is left but its exit code.
    has_ended: bool,
}

impl<'t> Held<'t> {
    /// `uses` are the files of all processes of `tree`, those of one together.
    pub(crate) fn new(tree: &'t [Process], uses: &'t [FileUse], memfd_device: Device) -> Self {
        let by_process = uses.chunk_by(|one, next| one.pid == next.pid);
        let by_process = by_process.filter_map(|uses| Some((uses.first()?.pid, uses)));
        let by_process: HashMap<i32, &[FileUse]> = by_process.collect();
        let all = tree.iter().map(|process| Holding {
            process,
            uses: by_process.get(&process.pid()).copied().unwrap_or_default(),
            has_ended: process.has_ended(),
        });
        Self {
            all: all.collect(),
            memfd_device,
        }
    }

    /// The numbers of the processes.
    fn pids(&self) -> HashSet<i32> {
        self.all.iter().map(|one| one.process.pid()).collect()
    }

    /// Those that live.
    fn living(&self) -> impl Iterator<Item = &Holding<'t>> {
        self.all.iter().filter(|one| !one.has_ended)
    }

    /// Everything that the living hold, and who.
    fn uses(&self) -> impl Iterator<Item = (&'t Process, &'t FileUse)> {
        let of = |one: &Holding<'t>| {
            let process = one.process;
            one.uses.iter().map(move |held| (process, held))
        };
        self.living().flat_map(of)
    }

    /// A namespace of init, such as `net`.
    fn namespace_of_init(&self, name: &str) -> Option<OsString> {
        self.all.first()?.process.link(&format!("ns/{name}")).ok()
    }
}

/// A namespace of this process, which is that of CRIU.
fn namespace_of_own(name: &str) -> Option<OsString> {
    let link = std::fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
    Some(link.into_os_string())
}

/// Looks for everything that CRIU may refuse. The tasks are only read.
///
/// # Errors
/// A process is gone. What the kernel does not tell is left out, with a warning.
pub(crate) fn find(held: &Held) -> Result<Vec<Obstacle>, ProcessError> {
    let mut found = Found::default();
    anonymous::find(held, &mut found)?;
    code::find(held, &mut found)?;
    device::find(held, &mut found)?;
    epoll::find(held, &mut found)?;
    fifo::find(held, &mut found)?;
    gone::find(held, &mut found);
    mount::find(held, &mut found)?;
    covered::find(held, &mut found)?;
    socket::find(held, &mut found)?;
    lock::find(held, &mut found)?;
    task::find(held, &mut found)?;
    unseen::find(held, &mut found)?;
    vfork::find(held, &mut found)?;
    watch::find(held, &mut found)?;
    Ok(found.obstacles())
}

/// Collects what is found; what is of one kind is one obstacle.
#[derive(Debug, Default)]
struct Found {
    kinds: HashMap<Kind, Vec<Holder>>,
    commands: HashMap<i32, String>,
}

impl Found {
    /// A file, or what else has a descriptor or a mapping.
    fn held(&mut self, kind: Kind, process: &Process, one: &FileUse) {
        let name = crate::text::escape(&one.name);
        self.add(kind, process, Some(one.kind.clone()), name);
    }

    /// As [`Self::held`], with something to say instead of the name.
    fn add(&mut self, kind: Kind, process: &Process, by: Option<UseKind>, name: String) {
        let pid = process.pid();
        let command = self.commands.entry(pid);
        let command = command.or_insert_with(|| process.command()).clone();
        self.kinds.entry(kind).or_default().push(Holder {
            pid,
            command,
            by,
            name,
        });
    }

    fn obstacles(self) -> Vec<Obstacle> {
        let all = self.kinds.into_iter();
        let mut all: Vec<Obstacle> = all
            .map(|(kind, holders)| Obstacle { kind, holders })
            .collect();
        all.sort_by(|one, other| one.kind.cmp(&other.kind));
        all
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.command)?;
        match (&self.by, &*self.name) {
            (Some(by), "") => write!(f, " by {by}"),
            (Some(by), name) => write!(f, " by {by} on {name}"),
            (None, "") => Ok(()),
            (None, about) => write!(f, ", {about}"),
        }
    }
}

/// The most holders that a message names.
const NAMED: usize = 6;

impl Obstacle {
    /// Its holders, for messages: the first few.
    #[must_use]
    pub fn holders(&self) -> String {
        let named: Vec<String> = self
            .holders
            .iter()
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        let more = self.holders.len().saturating_sub(NAMED);
        if more == 0 {
            named.join(", ")
        } else {
            format!("{} and {more} more", named.join(", "))
        }
    }
}

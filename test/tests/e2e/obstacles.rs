//! What CRIU cannot dump is refused before anything is touched, and what it can is not.

mod elsewhere;
pub(crate) mod holder;
mod host;
mod near;
mod of_host;
mod other_user;
mod proof;
mod refused;
pub(crate) mod session;

use remap_test::Runtime;

use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("obstacles::refused", refused::refused).runtimes(DROP_IN),
    Scenario::new("obstacles::of_host", of_host::of_host).runtimes(DROP_IN),
    Scenario::new("obstacles::own_network", elsewhere::own_network),
    Scenario::new("obstacles::network_of_host", elsewhere::network_of_host),
    Scenario::new("obstacles::other_user", other_user::refused),
    Scenario::new(
        "obstacles::other_user_in_user_namespace",
        other_user::in_user_namespace,
    )
    .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("obstacles::near_misses", near::near_misses)
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("obstacles::criu_refuses_each", proof::criu_refuses_each)
        .runtimes(&[Runtime::Stock])
        .full(),
];

/// Under another name containerd 1.7's `ctr` would drop what it is told about the task's
/// checkpoint.
const DROP_IN: &[Runtime] = &[Runtime::DropIn];

/// Something that CRIU refuses.
#[derive(Debug)]
struct Expected {
    /// What makes `obstacles.py` hold it.
    name: &'static str,
    /// How it has to be named in the refusal.
    said: &'static str,
    /// What it is held by.
    object: &'static str,
}

const fn expected(name: &'static str, said: &'static str, object: &'static str) -> Expected {
    Expected { name, said, object }
}

/// All that can be held in one container.
const ALL: &[Expected] = &[
    expected("io-uring", "an io_uring", "on anon_inode:[io_uring]"),
    expected("io-uring-mapping", "an io_uring", "by mapping "),
    expected(
        "perf-event",
        "of the kind [perf_event]",
        "on anon_inode:[perf_event]",
    ),
    expected(
        "bpf-program",
        "of the kind bpf-prog",
        "on anon_inode:bpf-prog",
    ),
    expected(
        "userfaultfd",
        "of the kind [userfaultfd]",
        "on anon_inode:[userfaultfd]",
    ),
    expected(
        "landlock",
        "of the kind [landlock-ruleset]",
        "on anon_inode:[landlock-ruleset]",
    ),
    expected(
        "fscontext",
        "of the kind [fscontext]",
        "on anon_inode:[fscontext]",
    ),
    expected(
        "secret-memory",
        "memory of memfd_secret(2)",
        "on /secretmem (deleted)",
    ),
    expected("secret-mapping", "memory of memfd_secret(2)", "by mapping "),
    expected("message-queue", "a POSIX message queue", "on /obstacle"),
    expected(
        "unmounted",
        "a mount that the container does not see",
        "on /file",
    ),
    expected(
        "covered",
        "another mount covers a file",
        "on /mnt/covered/file",
    ),
    expected(
        "covered-path",
        "another mount covers a file",
        "on /mnt/path/file",
    ),
    expected(
        "device=/dev/fuse",
        "the character device 10:229",
        "on /dev/fuse",
    ),
    expected("mptcp", "of the protocol 262", "on socket:["),
    expected("vsock", "of the address family 40", "on socket:["),
    expected("xdp", "of the address family 44", "on socket:["),
    expected(
        "tcp-connection",
        "a TCP connection is open",
        " to 127.0.0.1:",
    ),
    expected("tcp-pending", "has not accepted yet", "on socket:["),
    expected(
        "tcp-listener",
        "before 4.2 cannot dump a network socket",
        "on socket:[",
    ),
    expected(
        "unix-stream=/run/outside/accepts",
        "connected to one of a network namespace",
        " to accepts",
    ),
    expected(
        "unix-waiting=/run/outside/waits",
        "connected to a process outside",
        "on socket:[",
    ),
    expected(
        "unix-datagram=/run/outside/datagrams",
        "connected to one of a network namespace",
        " to datagrams",
    ),
    expected(
        "pidfd-outside",
        "a pidfd stands for a process outside",
        "on process ",
    ),
    expected("namespace-pid", "(pid)", ""),
    expected("namespace-ipc", "(ipc)", ""),
    expected("namespace-uts", "(uts)", ""),
    expected("namespace-user", "(user)", ""),
    expected("namespace-cgroup", "(cgroup)", ""),
    expected("namespace-time", "(time_for_children)", ""),
    expected("traced", "a task is traced", "), traced by pid "),
    expected("stopped", "a task is stopped by a signal", "pid "),
    expected(
        "fifo-path",
        "a FIFO that was opened with O_PATH",
        "on /fifo-path",
    ),
    expected(
        "lost-watched",
        "an epoll watches a file",
        "which watches what was descriptor ",
    ),
    expected(
        "shared-code",
        "comes first in its memory is shared",
        "200000-",
    ),
    expected(
        "nameless-watch",
        "of which CRIU can find no path",
        "on anon_inode:inotify",
    ),
    expected(
        "remade-directory",
        "whose name is taken again",
        "on /remade (deleted)",
    ),
    expected(
        "nested-directories",
        "CRIU cannot restore them together",
        "on /nested (deleted)",
    ),
    expected(
        "file-table",
        "a thread has a table of descriptors of its own",
        "), thread ",
    ),
];

/// Those that the option file-locks allows.
const OF_LOCKS: &[&str] = &["flock", "posix-lock", "ofd-lock", "lease"];

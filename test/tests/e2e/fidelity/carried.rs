//! Names on a tmpfs that goes along.

use super::{Class, Mount, Source, Stock, Workload};

const fn carried(
    scenario: &'static str,
    holds: &'static str,
    command: &'static [&'static str],
) -> Workload {
    Workload::new(scenario, Class::Carried, holds, command)
}

pub(super) const WORKLOADS: &[Workload] = &[
    carried(
        "fidelity::closed_files",
        "files that nobody has open: empty to 5 MiB, other owners, set-user-id",
        &["closed-files"],
    )
    .stock(Stock::Differs),
    carried(
        "fidelity::shm_named",
        "shm_open(3), mapped by two processes",
        &["shm-named"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::shm_sparse",
        "1 GiB of shared memory with five pages",
        &["shm-sparse"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::hard_links",
        "one inode with four names in four directories, open by three, in two processes",
        &["hard-links"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::linked_deleted",
        "two opened names of an inode gone, the third alive",
        &["linked-deleted", "/dev/shm"],
    )
    .stock(Stock::NoDump),
    carried(
        "fidelity::positions",
        "positions, O_APPEND, O_CLOEXEC, O_SYNC, one description under two numbers",
        &["positions"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::private_mapping",
        "private mappings of a file, written and not",
        &["private-mapping"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::growing",
        "a file that grows below its mapping",
        &["growing"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::locked_memory",
        "mlock(2) of a file's mapping",
        &["locked-memory"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::attributes",
        "extended attributes, access lists, times before 1970 and to the nanosecond",
        &["attributes"],
    )
    .flags(&["--privileged"])
    .stock(Stock::NoRestore),
    carried(
        "fidelity::o_path",
        "O_PATH of a file and a directory",
        &["o-path"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::renamed",
        "a log that was rotated: the old and the new file open, and one by a symbolic link",
        &["renamed"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::futex",
        "a thread asleep in futex(2), woken by another process",
        &["futex"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::mutex_creator_first",
        "a robust mutex, held; CRIU meets the owner first",
        &["mutex-creator-first"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::mutex_peer_first",
        "a robust mutex, held; CRIU meets the peer first",
        &["mutex-peer-first"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::mutex_dead_owner",
        "a robust mutex whose owner dies after the restore",
        &["mutex-dead-owner"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::odd_names",
        "names with spaces, newlines, no UTF-8, backslashes, 255 bytes",
        &["odd-names"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::deleted_suffix",
        "names that end in ` (deleted)`, alive and gone",
        &["deleted-suffix"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::fifo",
        "FIFOs, open with data in it and idle",
        &["fifo"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::symlinks",
        "symbolic links to a file, nowhere, themselves and out of the mount",
        &["symlinks"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::directories",
        "directories: 40 deep, empty, closed, open",
        &["directories"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::cwd",
        "working directories on the tmpfs",
        &["cwd"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::devices",
        "device nodes on the tmpfs, open devices",
        &["devices"],
    )
    .flags(&["--cap-add", "CAP_MKNOD"])
    .stock(Stock::Differs),
    carried(
        "fidelity::inotify",
        "inotify watches on a file and its directory",
        &["inotify"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::inotify_linked",
        "an inotify watch by a name that is gone, while another one lives",
        &["inotify-linked"],
    )
    .stock(Stock::NoDump),
    carried(
        "fidelity::unix_renamed",
        "Unix sockets that were bound under another name than they have, and who is connected to them",
        &["unix-renamed", "/dev/shm"],
    )
    .stock(Stock::NoRestore)
    .by_default(),
    carried(
        "fidelity::locks",
        "flock(2), POSIX locks and those of open file descriptions",
        &["locks"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::locks_mapped",
        "POSIX locks of a file that is mapped, as SQLite and LMDB have them",
        &["locks-mapped", "/dev/shm/mapped"],
    )
    .stock(Stock::NoRestore)
    .by_default(),
    carried(
        "fidelity::protections",
        "mappings of a file's middle: shared, private, executable",
        &["protections"],
    )
    .stock(Stock::NoRestore),
    carried(
        "fidelity::two_binds",
        "two directories of one tmpfs",
        &["shm-named"],
    )
    .mounts(&[
        Mount::new(Source::Directory("both", "shm"), "/dev/shm"),
        Mount::new(Source::Directory("both", "other"), "/other"),
    ])
    .stock(Stock::NoRestore),
    carried(
        "fidelity::nested",
        "a tmpfs of CRIU's own and a carried one in a carried one",
        &["nested"],
    )
    .mounts(&[
        Mount::SHM,
        Mount::new(Source::Tmpfs("inner"), "/dev/shm/inner"),
        Mount::new(Source::Internal, "/dev/shm/own"),
    ])
    .stock(Stock::NoRestore),
    carried(
        "fidelity::user_namespace",
        "a container with a user namespace: owners on the tmpfs",
        &["closed-files"],
    )
    .flags(USER_NAMESPACE)
    .stock(Stock::Differs),
    carried(
        "fidelity::user_namespace_semaphore",
        "a container with a user namespace: a semaphore",
        &["sem-creator-first"],
    )
    .flags(USER_NAMESPACE)
    .stock(Stock::NoDump),
    carried(
        "fidelity::user_namespace_shifted",
        "a container whose users are others on the host: owners on the tmpfs",
        &["closed-files"],
    )
    .flags(&["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"])
    .stock(Stock::NoRestore),
];

/// The host's own numbers.
const USER_NAMESPACE: &[&str] = &["--uidmap", "0:0:65536", "--gidmap", "0:0:65536"];

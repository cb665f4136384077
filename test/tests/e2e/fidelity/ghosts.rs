//! Inodes without a name, memfds, files of dead processes.

use super::{Class, Stock, Workload};

/// What is open on the tmpfs comes back as new inodes, with their names.
const GHOSTS: &[(&str, &str)] = &[("io.remap.mounts", "/dev/shm=ghost")];

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new(
        "fidelity::ghost_2_mib",
        Class::Ghost,
        "2 MiB without a name on the tmpfs",
        &["ghost", "/dev/shm", "2"],
    )
    .stock(Stock::NoDump)
    .by_default(),
    Workload::new(
        "fidelity::ghost_100_mib",
        Class::Ghost,
        "100 MiB without a name on the tmpfs",
        &["ghost", "/dev/shm", "100"],
    )
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::ghost_3_gib_sparse",
        Class::Ghost,
        "3 GiB without a name, all but five pages holes",
        &["ghost-sparse", "/dev/shm", "3"],
    ),
    Workload::new(
        "fidelity::ghost_shared",
        Class::Ghost,
        "shm_open and shm_unlink: mapped by two, open under two names that are gone",
        &["ghost-shared"],
    ),
    Workload::new(
        "fidelity::ghost_mapped",
        Class::Ghost,
        "mapped only, shared and private",
        &["ghost-mapped"],
    ),
    Workload::new(
        "fidelity::o_tmpfile",
        Class::Ghost,
        "a file of O_TMPFILE",
        &["o-tmpfile"],
    ),
    Workload::new(
        "fidelity::fifo_deleted",
        Class::Ghost,
        "a FIFO without a name, with data in it",
        &["fifo-deleted"],
    )
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::locks_deleted",
        Class::Ghost,
        "locks of each kind, of files without a name",
        &["locks-deleted"],
    )
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::cwd_deleted",
        Class::Ghost,
        "a working directory that has been removed",
        &["cwd-deleted"],
    ),
    Workload::new(
        "fidelity::directories_deleted",
        Class::Ghost,
        "open directories that have been removed, on the tmpfs and on the root",
        &["directories-deleted"],
    ),
    Workload::new(
        "fidelity::ghost_relink",
        Class::Relinked,
        "policy ghost: an inode with three names, and a fourth gone, open by all in two processes",
        &["ghost-relink"],
    )
    .annotations(GHOSTS)
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::ghost_relink_semaphore",
        Class::Relinked,
        "policy ghost: a semaphore of sem_open(3)",
        &["sem-creator-first"],
    )
    .annotations(GHOSTS)
    .stock(Stock::NoDump)
    .by_default(),
    Workload::new(
        "fidelity::memfd_sealed",
        Class::Memfd,
        "memfds with each kind of seal",
        &["memfd-sealed"],
    )
    .by_default(),
    Workload::new(
        "fidelity::memfd_shared",
        Class::Memfd,
        "a memfd mapped by two processes",
        &["memfd-shared"],
    ),
    Workload::new(
        "fidelity::memfd_private",
        Class::Memfd,
        "a private mapping of a memfd",
        &["memfd-private"],
    ),
    Workload::new(
        "fidelity::memfd_same_name",
        Class::Memfd,
        "three memfds of one name",
        &["memfd-same-name"],
    ),
    Workload::new(
        "fidelity::memfd_look_alike",
        Class::Memfd,
        "files called /memfd:x, alive and gone, beside a memfd",
        &["memfd-look-alike"],
    ),
    Workload::new(
        "fidelity::dead_pid",
        Class::Procfs,
        "a file of /proc of a process that has ended",
        &["dead-pid"],
    )
    .by_default(),
];

//! What is not on a tmpfs of the host: on the root, on file systems that CRIU makes anew, on volumes.

use super::{Class, Mount, Source, Stock, Workload};

const INTERNAL: &[Mount] = &[Mount::new(Source::Internal, "/internal")];

const VOLUME: &[Mount] = &[Mount::new(Source::Volume("data"), "/data")];

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new(
        "fidelity::ghost_internal",
        Class::Internal,
        "2 MiB without a name on a tmpfs of CRIU's own",
        &["ghost", "/internal", "2"],
    )
    .mounts(INTERNAL)
    .stock(Stock::NoDump)
    .by_default(),
    Workload::new(
        "fidelity::ghost_on_root",
        Class::Internal,
        "2 MiB without a name on the root file system",
        &["ghost", "/var/tmp", "2"],
    )
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::linked_on_root",
        Class::Internal,
        "on the root: two opened names of an inode gone, the third alive",
        &["linked-deleted", "/var/tmp"],
    )
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::locks_mapped_on_root",
        Class::Internal,
        "on the root: POSIX locks of a file that is mapped",
        &["locks-mapped", "/var/tmp/mapped"],
    )
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::unix_renamed_on_root",
        Class::Internal,
        "on the root: Unix sockets that were bound under another name than they have",
        &["unix-renamed", "/var/tmp"],
    )
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::lower_deleted",
        Class::Internal,
        "files of the image, deleted while they are open and mapped",
        &["lower-deleted"],
    )
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::lower_renamed",
        Class::Internal,
        "files of the image, renamed while they are open",
        &["lower-renamed"],
    ),
    Workload::new(
        "fidelity::volume",
        Class::Volume,
        "files on a volume that follows, open and closed",
        &["closed-files"],
    )
    .mounts(&[Mount::new(Source::Volume("data"), "/dev/shm")]),
    Workload::new(
        "fidelity::unix_renamed_on_volume",
        Class::Volume,
        "on a volume: Unix sockets that were bound under another name than they have",
        &["unix-renamed", "/data"],
    )
    .mounts(VOLUME)
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::linked_on_volume",
        Class::Volume,
        "on a volume: two opened names of an inode gone, the third alive",
        &["linked-deleted", "/data"],
    )
    .mounts(VOLUME)
    .stock(Stock::NoDump)
    .by_default(),
];

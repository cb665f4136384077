//! POSIX semaphores, between processes and between containers.

use super::{Class, Stock, Workload};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new(
        "fidelity::sem_creator_first",
        Class::Carried,
        "a semaphore of sem_open(3); CRIU meets the creator first",
        &["sem-creator-first"],
    )
    .stock(Stock::NoDump)
    .by_default(),
    Workload::new(
        "fidelity::sem_peer_first",
        Class::Carried,
        "the same; CRIU meets the peer first",
        &["sem-peer-first"],
    )
    .stock(Stock::NoRestore),
    Workload::new(
        "fidelity::pod",
        Class::Carried,
        "semaphores and shared memory between two containers",
        &["pod-creator"],
    )
    .partner(&["pod-user"])
    .stock(Stock::NoDump),
];

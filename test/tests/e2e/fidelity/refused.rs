//! What is refused before anything is touched, and binds that are not carried.

use super::{Class, Mount, Outcome, Source, Stock, Workload};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new(
        "fidelity::message_queue",
        Class::Refused,
        "a POSIX message queue",
        &["message-queue"],
    )
    .expect(Outcome::Refused("a POSIX message queue"))
    .stock(Stock::NoDump)
    .by_default(),
    Workload::new(
        "fidelity::secret_memory",
        Class::Refused,
        "memfd_secret(2)",
        &["secret-memory"],
    )
    .expect(Outcome::Refused("memory of memfd_secret(2)"))
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::directory_taken",
        Class::Refused,
        "an open directory that has been removed, and whose name another one has",
        &["directory-taken"],
    )
    .expect(Outcome::Refused("whose name is taken again"))
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::unix_linked",
        Class::Refused,
        "a Unix socket whose file has two names",
        &["unix-linked"],
    )
    .expect(Outcome::Refused("has several names"))
    .stock(Stock::Differs),
    Workload::new(
        "fidelity::unix_relative",
        Class::Refused,
        "a Unix socket that was bound under a relative name, and renamed",
        &["unix-relative"],
    )
    .expect(Outcome::Refused("under a relative name"))
    .stock(Stock::NoDump),
    Workload::new(
        "fidelity::tcp_listener",
        Class::Kernel,
        "a listening TCP socket",
        &["tcp-listener"],
    )
    .expect_on_trixie(Outcome::Refused("before 4.2 cannot dump a network socket"))
    .stock_on_trixie(Stock::NoDump),
    Workload::new(
        "fidelity::single_file",
        Class::Nothing,
        "a bind of one file, which every host has of its own",
        &["foreign-text", "/etc/fidelity.conf"],
    )
    .mounts(&[
        Mount::SHM,
        Mount::new(Source::File("conf", "text"), "/etc/fidelity.conf"),
    ]),
    Workload::new(
        "fidelity::read_only",
        Class::Nothing,
        "a read-only bind of a tmpfs, which every host has of its own",
        &["foreign-text", "/conf/text"],
    )
    .mounts(&[
        Mount::SHM,
        Mount::new(Source::File("conf", "text"), "/etc/fidelity.conf"),
        Mount::read_only(Source::Tmpfs("conf"), "/conf"),
    ]),
];

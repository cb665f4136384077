//! What is no file: CRIU's affair, and must not suffer from ours.

use super::{Class, Stock, Workload};

const fn kernel(
    scenario: &'static str,
    holds: &'static str,
    command: &'static [&'static str],
) -> Workload {
    Workload::new(scenario, Class::Kernel, holds, command)
}

pub(super) const WORKLOADS: &[Workload] = &[
    kernel(
        "fidelity::pipes",
        "a pipe with 40 KB in it, between two processes",
        &["pipes"],
    ),
    kernel(
        "fidelity::unix_sockets",
        "socket pairs, a listener with a connection, messages on their way",
        &["unix-sockets"],
    ),
    kernel(
        "fidelity::events",
        "eventfd, epoll, timerfd, signalfd",
        &["events"],
    )
    .by_default(),
    kernel(
        "fidelity::timers",
        "setitimer(2) and timer_create(2)",
        &["timers"],
    ),
    kernel(
        "fidelity::sysv",
        "System V shared memory, semaphores and messages",
        &["sysv"],
    ),
    kernel("fidelity::threads", "ten threads", &["threads"]),
    kernel(
        "fidelity::zombie",
        "a child that has ended and is not waited for",
        &["zombie"],
    ),
    kernel(
        "fidelity::sessions",
        "process groups, a session, a daemon with a lock on its pid file",
        &["sessions"],
    )
    .stock(Stock::Differs),
    kernel(
        "fidelity::signals",
        "pending, queued and blocked signals",
        &["signals"],
    ),
    kernel(
        "fidelity::anonymous_shared",
        "anonymous memory that parent and child share, beside an open file",
        &["anonymous-shared"],
    )
    .stock(Stock::NoRestore),
];

//! Programs that people run, under a load that comes from inside the container and checks itself:
//! see `test/workloads/software`.
//!
//! CRIU 4.1 cannot dump sockets of the network on new kernels, so what needs none is on Unix
//! sockets.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::{Ctr, Software, wait};

use super::workload::{Image, ask};
use super::{Class, Outcome, Stock, Workload};
use crate::context::Context;

/// A server is set up and ended, and recovers, on a machine that may have much to do.
const LIMIT: Duration = Duration::from_secs(300);

/// Of all users of the host, under their own numbers. Without CAP_SYS_RESOURCE, which a machine for
/// tests may not have, CRIU may not ask for the limits of a process of another user (prlimit(2)),
/// except in a user namespace that it has made.
const USERS: &[&str] = &["--uidmap", "0:0:65536", "--gidmap", "0:0:65536"];

/// With the host's network: the loopback interface of a network that `ctr` makes is down, and
/// nobody raises it after a restore.
const HOST_NETWORK: &[&str] = &["--net-host"];

/// Connections are carried, with the stock shim, too.
const TCP: &[(&str, &str)] = &[("org.criu.config", TCP_CONFIGURATION)];
const TCP_CONFIGURATION: &str = "/srv/tcp-established.conf";

/// Said where CRIU is too old for the kernel.
const NO_NETWORK: &str = "cannot dump a network socket on this kernel";

/// Runs the program that its argument names, and the load.
const SCRIPT: &str = "/workload/software.py";

const fn software(
    scenario: &'static str,
    holds: &'static str,
    command: &'static [&'static str],
    image: Image,
) -> Workload {
    Workload::new(scenario, Class::Software, holds, command)
        .image(image)
        .ready(ready)
        .verify(verify)
}

/// With connections over the loopback interface, which the CRIU of trixie cannot dump.
const fn over_tcp(workload: Workload) -> Workload {
    workload
        .flags(HOST_NETWORK)
        .annotations(TCP)
        .expect_on_trixie(Outcome::Refused(NO_NETWORK))
        .stock(Stock::NoRestore)
        .stock_on_trixie(Stock::NoDump)
}

pub(super) const WORKLOADS: &[Workload] = &[
    software(
        "fidelity::postgresql",
        "transactions, parallel queries, a crash",
        &["python3", SCRIPT, "postgresql"],
        |context| context.software(Software::Postgres),
    )
    .flags(USERS)
    .stock(Stock::NoRestore)
    .by_default(),
    software(
        "fidelity::multiprocessing",
        "Python's locks, queues, pool and manager",
        &["python3", SCRIPT, "multiprocessing"],
        |context| context.python(),
    )
    .stock(Stock::NoDump),
    software(
        "fidelity::redis",
        "counters, an append-only file, a snapshot half written",
        &["python3", SCRIPT, "redis"],
        |context| context.software(Software::Redis),
    )
    .stock(Stock::NoRestore),
    software(
        "fidelity::nginx",
        "an upload and a download half done, a cache",
        &["python3", SCRIPT, "nginx"],
        |context| context.software(Software::Nginx),
    )
    .flags(USERS)
    .stock(Stock::NoDump),
    software(
        "fidelity::java",
        "threads, mappings with and without a name",
        &["python3", SCRIPT, "java"],
        |context| context.software(Software::Java),
    )
    .stock(Stock::NoRestore),
    over_tcp(software(
        "fidelity::redis_tcp",
        "Redis with connections over the loopback interface",
        &["python3", SCRIPT, "redis", "tcp"],
        |context| with_tcp(context, Software::Redis),
    )),
    over_tcp(software(
        "fidelity::openmpi",
        "two ranks, their transport, and a shared window",
        &["python3", SCRIPT, "openmpi"],
        |context| with_tcp(context, Software::OpenMpi),
    )),
];

/// The image, and a configuration of CRIU that allows connections. The hosts forget connections
/// at once when they end: a container that ends after its checkpoint would leave them in TIME_WAIT,
/// where they are in the way of those that come back.
fn with_tcp(context: &Context, software: Software) -> Result<&'static str> {
    for host in [context.a(), context.b()] {
        host.write_file(TCP_CONFIGURATION, "tcp-established\n")?;
        host.shell("echo 0 >/proc/sys/net/ipv4/tcp_max_tw_buckets")?;
    }
    context.software(software)
}

/// It leaves a mark, or an error.
fn ready(ctr: &Ctr<'_>, id: &str) -> Result<()> {
    let mut said = String::new();
    let line = "cd /workload-state && { cat error 2>/dev/null || cat ready 2>/dev/null; }";
    let is_over = wait::until(LIMIT, || {
        said = ctr.exec(id, &["sh", "-c", line])?.text().into_owned();
        Ok(!said.is_empty())
    })?;
    ensure!(is_over, "it does not get ready");
    ensure!(!said.contains("Traceback"), "it cannot be set up: {said}");
    Ok(())
}

/// It ends with 0, or says what is missing.
fn verify(ctr: &Ctr<'_>, id: &str) -> Result<()> {
    ask(ctr, id, &["python3", "/workload/software_check.py"], LIMIT)
}

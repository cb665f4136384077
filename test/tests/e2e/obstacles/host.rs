//! A process of the host with Unix sockets, to which the container has connections.

use anyhow::{Result, ensure};
use remap_test::Host;
use remap_test::exec::Background;
use remap_test::wait;

use crate::workload::LIMIT;

/// Listens on `accepts` and takes every connection, on `waits` and takes none, and receives on
/// `datagrams`.
const PROGRAM: &str = "\
import os, socket, sys
os.chdir(sys.argv[1])
waits = socket.socket(socket.AF_UNIX)
waits.bind('waits')
waits.listen()
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagrams.bind('datagrams')
accepts = socket.socket(socket.AF_UNIX)
accepts.bind('accepts')
accepts.listen()
held = []
while True:
    held.append(accepts.accept())
";

/// Where the container has them.
pub(super) const INSIDE: &str = "/run/outside";

/// Starts it; its sockets are in the directory `dir` of the host.
pub(super) fn listen(host: &Host, dir: &str) -> Result<Background> {
    host.command("mkdir").args(["-p", dir]).check()?;
    let process = host.command("python3").args(["-c", PROGRAM, dir]).spawn()?;
    let last = host.path(format!("{dir}/accepts"));
    ensure!(
        wait::until(LIMIT, || Ok(last.exists()))?,
        "the host's process does not listen"
    );
    Ok(process)
}

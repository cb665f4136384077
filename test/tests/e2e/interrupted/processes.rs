//! Processes of a host, by name.

use anyhow::{Result, ensure};
use remap_test::{Host, wait};

use crate::workload::LIMIT;

/// What a checkpoint or a restore starts.
pub(crate) const HELPERS: [&str; 3] = ["criu", "runc", HOOK];

/// By what CRIU is held.
pub(super) const HOOK: &str = "remap-hook";

/// The pids of those called `name` (the whole command name), in the host's numbers.
pub(crate) fn pids(host: &Host, name: &str) -> Result<Vec<u32>> {
    let output = host.command("pgrep").args(["-x", name]).run()?;
    Ok(output
        .text()
        .lines()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// Sends a signal to all those called `name`; there must be one.
pub(crate) fn signal(host: &Host, signal: &str, name: &str) -> Result<()> {
    let sent = host
        .command("pkill")
        .args(["--signal", signal, "-x", name])
        .run()?;
    ensure!(sent.exit_code() == 0, "there is no {name} to be signalled");
    Ok(())
}

/// Sends SIGKILL to the shim of the container `id`.
pub(crate) fn kill_shim(host: &Host, id: &str) -> Result<()> {
    signal_shim(host, "KILL", id)
}

/// Sends a signal to it.
pub(super) fn signal_shim(host: &Host, signal: &str, id: &str) -> Result<()> {
    host.command("pkill")
        .args(["--signal", signal, "-f", &shim_pattern(id)])
        .check()?;
    Ok(())
}

/// The pid of the shim of the container `id`.
pub(super) fn shim_pid(host: &Host, id: &str) -> Result<u32> {
    let found = host.command("pgrep").args(["-f", &shim_pattern(id)]);
    Ok(found.check()?.text().parse()?)
}

fn shim_pattern(id: &str) -> String {
    format!("^[^ ]*containerd-shim.* -id {id}( |$)")
}

/// Nothing that a checkpoint or a restore starts may run on.
pub(crate) fn expect_no_helpers(host: &Host) -> Result<()> {
    let mut left = String::new();
    let gone = wait::until(LIMIT, || {
        left.clear();
        for name in HELPERS {
            for pid in pids(host, name)? {
                left += &format!(" {name} {pid}");
            }
        }
        Ok(left.is_empty())
    })?;
    ensure!(gone, "on host {} there run still:{left}", host.name());
    Ok(())
}

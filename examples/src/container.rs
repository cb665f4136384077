//! The container of the demo, and the look at it from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remap_test::{Ctr, Host, Runtime, image, wait};
use serde::Deserialize;

/// The container's id.
pub(crate) const ID: &str = "demo";

/// The tmpfs of the host that the container sees as `/dev/shm`, as in every Kubernetes pod.
pub(crate) const SHM_SOURCE: &str = "/run/demo-shm";

const LOG: &str = "/var/log/demo.log";

const ENOUGH_STEPS: u64 = 50;

/// What the third process saw; see `demo_peer.py`.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// The counter in the segment when it came.
    pub counter_before: u64,
    /// The counter when it left.
    pub counter_after: u64,
    /// Steps of each process since the beginning.
    pub steps: BTreeMap<String, u64>,
    /// Whether the counter stood still while it held the semaphore.
    pub excludes: bool,
    /// How often two processes were in the critical section together.
    pub violations: u64,
    /// The semaphore's file.
    pub semaphore: Inode,
    /// The segment's file.
    pub segment: Inode,
}

/// A file that the others map.
#[derive(Debug, Deserialize)]
pub(crate) struct Inode {
    /// Its inode number.
    pub ino: u64,
}

/// Starts the container and waits until both processes have counted for a while.
///
/// # Errors
/// It does not start, or does not count.
pub(crate) fn start(host: &Host, runtime: Runtime) -> Result<u64> {
    let ctr = Ctr::new(host);
    ctr.run(runtime, image::PYTHON_IMAGE, ID)
        .args(["python3", "/workload/demo.py"])
        .bind(SHM_SOURCE, "/dev/shm")
        .start()?;
    let mut lines = 0;
    let counts = wait::until(Duration::from_secs(30), || {
        lines = log_lines(host).unwrap_or(0);
        Ok(lines >= ENOUGH_STEPS)
    })?;
    ensure!(
        counts,
        "the container does not count: {lines} lines in {LOG}"
    );
    Ok(lines)
}

/// Lines in the log on the container's root file system.
///
/// # Errors
/// The container cannot be asked.
pub(crate) fn log_lines(host: &Host) -> Result<u64> {
    let output = in_container(host, &format!("wc -l < {LOG}"))?;
    output.trim().parse().context("wc -l says no number")
}

/// The first line of the log, which was written before the container moved.
///
/// # Errors
/// The container cannot be asked.
pub(crate) fn first_log_line(host: &Host) -> Result<String> {
    in_container(host, &format!("head -n 1 {LOG}"))
}

/// Lets a third process open the named semaphore and the segment by name and take part.
///
/// # Errors
/// It finds something that is not as it should be; the message says what.
pub(crate) fn join_by_name(host: &Host) -> Result<Seen> {
    let output = in_container(host, "python3 /workload/demo_peer.py")?;
    serde_json::from_str(&output).with_context(|| format!("the peer says {output:?}"))
}

/// Ends the container and empties its `/dev/shm` on the host.
///
/// # Errors
/// Something of it is still there.
pub(crate) fn remove(host: &Host) -> Result<()> {
    Ctr::new(host).remove_all()?;
    host.shell(&format!("rm -rf {SHM_SOURCE}/*"))?;
    Ok(())
}

fn in_container(host: &Host, line: &str) -> Result<String> {
    let output = Ctr::new(host).exec(ID, &["/bin/sh", "-c", line])?.ok()?;
    Ok(output.text().into_owned())
}

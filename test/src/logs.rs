//! Saving what a host can tell about a failure, before it is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache;
use crate::host::Host;

/// Where containerd, the shims, runc and CRIU write logs in a host. Shims write
/// into containerd's log, as long as containerd runs at the level "debug".
const FIND: &str = r"find /var/log/containerd.log \
    /var/log/containerd-shim-remap /run /var/lib/containerd /srv /tmp /var/tmp \
    -xdev -type f \( -name '*.log' -o -name descriptors.json -o -name remap-plan.json \) \
    -size -32M -print0";

/// What a host looks like now, as (file name, line of shell).
const STATE: &[(&str, &str)] = &[
    (
        "processes.txt",
        "ps -eo pid,ppid,stat,wchan:20,args --forest",
    ),
    ("mounts.txt", "cat /proc/self/mountinfo"),
    (
        "tasks.txt",
        "for n in $(ctr ns ls -q); do ctr -n $n task ls; ctr -n $n c ls; done 2>&1",
    ),
    ("sockets.txt", "ls -lR /run/containerd"),
];

/// Gathers the logs and the state of `host` into a new directory named after
/// `label`, and returns it. A part that cannot be had is left out.
///
/// # Errors
/// The directory cannot be made.
pub fn gather(host: &Host, label: &str) -> Result<PathBuf> {
    let safe = label.replace(|c: char| !c.is_alphanumeric() && c != '-', "_");
    let logs = cache::dir().join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let dir = tempfile::Builder::new()
        .prefix(&format!("{safe}-{}-", host.name()))
        .tempdir_in(&logs)
        .with_context(|| format!("cannot make a directory in {}", logs.display()))?
        .keep();

    for (name, line) in STATE {
        if let Ok(output) = host.command("sh").args(["-c", line]).run() {
            // A gap in the diary of a failure must not hide the failure.
            let _ = fs::write(dir.join(name), output.stdout);
        }
    }
    if let Err(error) = copy_logs(host, &dir) {
        eprintln!("not all logs of host {} are saved: {error:#}", host.name());
    }
    Ok(dir)
}

fn copy_logs(host: &Host, dir: &Path) -> Result<()> {
    let line = format!("{FIND} 2>/dev/null | tar --null --no-recursion -T - -cf - 2>/dev/null");
    let archive = host
        .command("sh")
        .args(["-c", &line])
        .timeout(Duration::from_secs(60))
        .run()?;
    tar::Archive::new(archive.stdout.as_slice())
        .unpack(dir.join("files"))
        .context("cannot unpack the logs")
}

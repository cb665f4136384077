//! What containers leave behind on a host when they are gone: nothing, it is hoped.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::host::Host;
use crate::wait;

/// A shim says goodbye to containerd before it exits and removes its socket.
const GRACE: Duration = Duration::from_secs(10);

/// How much of what stayed is told.
const SHOWN: usize = 30;

/// Prints one line for each thing of which a container could leave one. Not seen
/// are what containerd keeps for good once a namespace (here: `default`) was used,
/// what it unpacks for a restore and never removes, its log and database, CRIU's
/// cache of kernel features, the FIFOs of `ctr` (which makes and removes them, but not when
/// containerd has deleted a task whose shim was killed), and `/srv`, which is for the
/// tests' own files.
const LIST: &str = r#"
ps -eo pid=,comm=,args= | awk -v self=$$ '
    $1 != self && $2 !~ /^(ps|awk|tini|containerd|ctr)$/ { print "process " $0 }'
awk '{ print "mount " $5 }' /proc/self/mountinfo
find /run /tmp /var/tmp /dev/shm /dev/mqueue \
    ! -path '/run/containerd*' ! -path '/run/host-cgroups' ! -path /run/criu.kdat \
    ! -path '/tmp/ctrd-checkpoint*' -printf 'file %p\n'
find /run/containerd /var/lib/containerd/io.containerd.runtime.v2.task \
    /var/lib/containerd/tmpmounts -mindepth 1 -maxdepth 3 \
    ! -name default ! -path '/run/containerd/fifo*' ! -name s ! -name runc ! -path '*/containerd.sock*' \
    -printf 'file %p\n' 2>/dev/null
find /sys/fs/cgroup -mindepth 1 -type d ! -name default -printf 'cgroup %p\n'
"#;

/// What there was on a host at some moment.
#[derive(Debug, Clone)]
pub struct Baseline {
    lines: BTreeSet<String>,
}

impl Baseline {
    /// Takes stock of `host`.
    ///
    /// # Errors
    /// The host cannot be asked.
    pub fn of(host: &Host) -> Result<Self> {
        let output = host.shell(LIST)?;
        Ok(Self {
            lines: output.text().lines().map(str::to_owned).collect(),
        })
    }

    /// Returns when there is nothing on `host` that was not there before, which may
    /// take a moment: a shim outlives its container a little.
    ///
    /// # Errors
    /// Something stays; the message lists it.
    pub fn expect_nothing_new(&self, host: &Host) -> Result<()> {
        let mut new = Vec::new();
        let clean = wait::until(GRACE, || {
            let now = Self::of(host)?;
            new = now.lines.difference(&self.lines).cloned().collect();
            Ok(new.is_empty())
        })?;
        if clean {
            return Ok(());
        }
        let shown = new
            .get(..SHOWN.min(new.len()))
            .unwrap_or_default()
            .join("\n  ");
        bail!(
            "left behind on host {}, {} in all:\n  {shown}",
            host.name(),
            new.len()
        )
    }
}

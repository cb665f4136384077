//! The containerd of a host.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exec::PATH;
use crate::host::Host;
use crate::wait;

/// Where `shim::install` puts the shim under its own name.
pub(crate) const SIDE_BY_SIDE_DIR: &str = "/opt/remap/bin";

/// Where it puts it under the stock shim's name.
pub(crate) const DROP_IN_DIR: &str = "/opt/remap/drop-in";

const CONFIG_FILE: &str = "/etc/containerd/config.toml";
const LOG_FILE: &str = "/var/log/containerd.log";
const PID_FILE: &str = "/run/containerd.pid";
const LOOKUP_FILE: &str = "/run/containerd.lookup";

const TIMEOUT: Duration = Duration::from_secs(30);

/// No CRI: hardly anything here speaks it, and it is a third of the start-up time.
const CONFIG: &str = r#"version = 2
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.podsandbox.controller.v1.podsandbox",
  "io.containerd.grpc.v1.sandbox-controllers",
]
"#;

/// CRI as far as it works here: scores below the own one are denied to us, and a pod's first container
/// is of the tests' own image ([`crate::image::pause`]). The handlers are the ways to come to a shim.
/// (All of them read this version of the configuration; restores are allowed where containerd wants
/// them to be, and nothing to those that do not know the option.)
const CRI_CONFIG: &str = r#"version = 2

[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  enable_experimental_restore_via_create = true
  sandbox_image = "remap.test/pause:1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/srv/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.by-path]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "/opt/remap/bin/containerd-shim-remap-v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.own-type]
  runtime_type = "io.containerd.remap.v2"
"#;

/// Which shim this containerd finds under the name `io.containerd.runc.v2`. It
/// resolves a name once in its life, so a change needs another containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShimLookup {
    /// The stock one; ours is there too, as `io.containerd.remap.v2`.
    SideBySide,
    /// Ours.
    DropIn,
}

impl ShimLookup {
    /// The `PATH` of such a containerd.
    pub(crate) fn path(self) -> String {
        match self {
            Self::SideBySide => format!("{SIDE_BY_SIDE_DIR}:{PATH}"),
            Self::DropIn => format!("{DROP_IN_DIR}:{SIDE_BY_SIDE_DIR}:{PATH}"),
        }
    }
}

impl fmt::Display for ShimLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SideBySide => "side-by-side",
            Self::DropIn => "drop-in",
        })
    }
}

/// The containerd of one host, running or not. It is the host that keeps it: it
/// goes on when this value is dropped, and ends with the host.
#[derive(Debug, Clone, Copy)]
pub struct Containerd<'h> {
    host: &'h Host,
}

impl<'h> Containerd<'h> {
    /// The containerd of `host`.
    #[must_use]
    pub fn of(host: &'h Host) -> Self {
        Self { host }
    }

    /// Starts it and waits until it answers. One that runs already with the same
    /// lookup is left alone; one with another lookup is restarted, which leaves the
    /// host's containers running.
    ///
    /// # Errors
    /// It does not answer in time; the message ends with its complaints.
    pub fn ensure(&self, lookup: ShimLookup) -> Result<()> {
        if self.pid()?.is_some() {
            let current = self.host.command("cat").arg(LOOKUP_FILE).run()?;
            if current.text() == lookup.to_string() {
                return Ok(());
            }
            self.stop()?;
        }
        self.start(lookup, CONFIG, "debug")
    }

    /// Starts one that speaks CRI. It must not run, and is to be stopped by who has started it.
    ///
    /// # Errors
    /// It does not answer in time.
    pub(crate) fn start_with_cri(&self, lookup: ShimLookup) -> Result<()> {
        self.start(lookup, CRI_CONFIG, "debug")
    }

    /// Starts one that keeps its state and the sockets of shims in these directories; the second is
    /// known since containerd 2.3. It must not run, and is to be stopped by who has started it.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn start_elsewhere(&self, lookup: ShimLookup, state: &str, sockets: &str) -> Result<()> {
        let more = format!(
            "state = \"{state}\"\n\
             [plugins.\"io.containerd.shim.v1.manager\"]\n  socket_dir = \"{sockets}\"\n"
        );
        self.start(lookup, &format!("{CONFIG}{more}"), "debug")
    }

    /// Starts one that logs each event that it gets. It must not run, and is to be stopped by who
    /// has started it.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn start_tracing(&self, lookup: ShimLookup) -> Result<()> {
        self.start(lookup, CONFIG, "trace")
    }

    /// Stops it, politely if it reacts. The host's shims and containers run on.
    ///
    /// # Errors
    /// It is still there after being killed.
    pub fn stop(&self) -> Result<()> {
        for signal in ["TERM", "KILL"] {
            let Some(pid) = self.pid()? else {
                return Ok(());
            };
            self.host.command("kill").args(["-s", signal, &pid]).run()?;
            if wait::until(TIMEOUT, || Ok(self.pid()?.is_none()))? {
                return Ok(());
            }
        }
        bail!("containerd of host {} does not end", self.host.name())
    }

    /// Its pid in the host's numbers, if it runs.
    ///
    /// # Errors
    /// The host cannot be asked.
    pub fn pid(&self) -> Result<Option<String>> {
        let line = format!("read -r pid <{PID_FILE} && kill -0 $pid && echo $pid");
        let output = self.host.command("sh").args(["-c", &line]).run()?;
        Ok(output.status.success().then(|| output.text().into_owned()))
    }

    /// The last warnings and errors of its log, which has the shims' logs too. What
    /// 1.7 warns of at the end of every container is left out.
    ///
    /// # Errors
    /// There is no log.
    pub fn complaints(&self, lines: u32) -> Result<String> {
        const NORMAL: &str = "level=info|level=debug|cleaning up after shim disconnected";
        let line = format!("grep -vE '{NORMAL}' {LOG_FILE} | tail -n {lines}");
        Ok(self.host.shell(&line)?.text().into_owned())
    }

    /// Debug makes a shim's log part of containerd's.
    fn start(&self, lookup: ShimLookup, config: &str, level: &str) -> Result<()> {
        let host = self.host;
        let config = format!("{config}\n[debug]\n  level = \"{level}\"\n");
        host.command("tee").arg(CONFIG_FILE).stdin(config).check()?;
        self.start_as_configured(lookup)
    }

    /// Starts one with the configuration that is there. It must not run.
    ///
    /// # Errors
    /// It does not answer in time.
    pub(crate) fn start_as_configured(&self, lookup: ShimLookup) -> Result<()> {
        let host = self.host;
        host.command("tee")
            .arg(LOOKUP_FILE)
            .stdin(lookup.to_string())
            .check()?;
        // `-f`: setsid returns, and the host's init takes containerd over.
        let line = format!(
            "exec setsid -f sh -c 'echo $$ >{PID_FILE} && exec containerd' >>{LOG_FILE} 2>&1"
        );
        host.command("sh")
            .args(["-c", &line])
            .env("PATH", lookup.path())
            .check()?;

        let answers = || Ok(host.command("ctr").arg("version").run()?.status.success());
        if wait::until(TIMEOUT, answers)? {
            return Ok(());
        }
        let log = self
            .complaints(20)
            .context("containerd does not answer, and has no log")?;
        bail!(
            "containerd of host {} does not answer; it complains:\n{log}",
            host.name()
        )
    }
}

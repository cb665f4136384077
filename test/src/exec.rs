//! Running commands inside a host.

mod capture;
mod output;
mod running;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use output::{CommandFailed, Output};
pub use running::Background;

use crate::host::Host;
use crate::wait;

/// What a command gets if it does not say otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The `PATH` of everything that runs in a host.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs in the host before the command: goes into the host's cgroups (nsenter(1)
/// enters the cgroup namespace only) and into the directory `$1`.
const JOIN: &str = r#"while read -r procs; do echo 0 >"$procs"; done </run/host-cgroups
cd "$1" && shift && exec "$@""#;

/// A command that will run inside a host, as root, with a small environment of
/// its own (nothing of this process's) and no standard input.
#[derive(Debug)]
#[must_use = "the command is not run yet"]
pub struct HostCommand<'h> {
    host: &'h Host,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: OsString,
    stdin: Option<Vec<u8>>,
    timeout: Duration,
}

impl<'h> HostCommand<'h> {
    pub(crate) fn new(host: &'h Host, program: &OsStr) -> Self {
        let env = [("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")];
        Self {
            host,
            program: program.to_owned(),
            args: Vec::new(),
            env: env.map(|(name, value)| (name.into(), value.into())).into(),
            dir: "/".into(),
            stdin: None,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the command's environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The directory, in the host, to run in. Without it: `/`.
    pub fn current_dir(mut self, dir: impl AsRef<OsStr>) -> Self {
        self.dir = dir.as_ref().to_owned();
        self
    }

    /// What the command reads from its standard input. Without it: nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// How long [`Self::run`] lets it run, or longer where everything is slow
    /// ([`wait::PATIENCE_VARIABLE`]). Without it: one minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the command to its end, or kills its process group at the time-out,
    /// and tells how it ended. What it started in other process groups runs on.
    ///
    /// # Errors
    /// The command cannot be started. Its own failure is no error here.
    pub fn run(self) -> Result<Output> {
        let timeout = wait::patient(self.timeout);
        self.spawn()?.finish(timeout)
    }

    /// As [`Self::run`], but anything except exit code 0 is an error.
    ///
    /// # Errors
    /// The command cannot be started, or it fails ([`CommandFailed`]).
    pub fn check(self) -> Result<Output> {
        Ok(self.run()?.ok()?)
    }

    /// Starts the command and returns at once.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn spawn(mut self) -> Result<Background> {
        let stdin = self.stdin.take();
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.host.init_pid()))
            .args([
                "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root",
            ])
            // Or the working directory stays this machine's.
            .args(["--wdns=/", "--", "/bin/sh", "-c", JOIN, "sh"])
            .arg(&self.dir)
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(if stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot run nsenter for {self}"))?;
        Background::new(
            child,
            stdin,
            self.host.name().to_owned(),
            self.to_string(),
            started,
        )
    }
}

impl std::fmt::Display for HostCommand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.program.to_string_lossy())?;
        for arg in &self.args {
            let arg = arg.to_string_lossy();
            let plain = |c: char| c.is_alphanumeric() || "-_=./:,@+%".contains(c);
            if !arg.is_empty() && arg.chars().all(plain) {
                write!(f, " {arg}")?;
            } else {
                write!(f, " '{}'", arg.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

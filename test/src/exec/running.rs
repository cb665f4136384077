//! A command in a host while it runs.

use std::io::Write;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::capture::Capture;
use super::output::Output;
use crate::wait;

/// How long to go on reading after the end: see [`Capture::finish`].
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// A command that runs in a host. When this is dropped its process group is
/// killed; what the command started in other process groups runs on.
#[derive(Debug)]
pub struct Background {
    child: Child,
    stdout: Capture,
    stderr: Capture,
    host: String,
    command: String,
    started: Instant,
    reaped: bool,
}

impl Background {
    pub(super) fn new(
        mut child: Child,
        stdin: Option<Vec<u8>>,
        host: String,
        command: String,
        started: Instant,
    ) -> Result<Self> {
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), stdin) {
            // A command need not read all of its input before it ends.
            thread::spawn(move || pipe.write_all(&bytes).ok());
        }
        let stdout = child.stdout.take().context("the command has no stdout")?;
        let stderr = child.stderr.take().context("the command has no stderr")?;
        Ok(Self {
            child,
            stdout: Capture::start(stdout),
            stderr: Capture::start(stderr),
            host,
            command,
            started,
            reaped: false,
        })
    }

    /// What it has written to its standard output so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.so_far()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The process cannot be asked.
    pub fn is_running(&self) -> Result<bool> {
        Ok(!wait::for_child(&self.child, Duration::ZERO)?)
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// The signal cannot be sent. A group that has ended already is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Not reaped yet, so the number is still this group's.
        match killpg(self.group()?, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).with_context(|| {
                format!(
                    "cannot send {signal} to `{}` on host {}",
                    self.command, self.host
                )
            }),
        }
    }

    /// Waits for its end; at the time-out its process group is killed.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn finish(mut self, timeout: Duration) -> Result<Output> {
        let timed_out = !wait::for_child(&self.child, timeout)?;
        let elapsed = self.started.elapsed();
        if timed_out {
            self.signal(Signal::SIGKILL)?;
        }
        let status = self.child.wait().context("cannot wait for a command")?;
        self.reaped = true;
        Ok(Output {
            host: self.host.clone(),
            command: self.command.clone(),
            status,
            stdout: self.stdout.finish(OUTPUT_GRACE),
            stderr: self.stderr.finish(OUTPUT_GRACE),
            elapsed,
            timed_out,
        })
    }

    /// Kills its process group and returns what it had written.
    ///
    /// # Errors
    /// The process cannot be killed or waited for.
    pub fn kill(self) -> Result<Output> {
        self.signal(Signal::SIGKILL)?;
        self.finish(Duration::MAX)
    }

    fn group(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id()).context("a pid out of range")?;
        Ok(Pid::from_raw(pid))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if let Err(error) = self.signal(Signal::SIGKILL) {
            eprintln!("{error:#}");
        }
        let _ = self.child.wait();
    }
}

//! Waiting with a limit: for a child process, and for a condition.

use std::env;
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The environment variable by which each limit is multiplied where everything is slow, as in a
/// [`crate::Vm`].
pub const PATIENCE_VARIABLE: &str = "REMAP_TEST_PATIENCE";

/// As long as `limit` on a fast machine.
pub(crate) fn patient(limit: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    let factor = *FACTOR.get_or_init(|| {
        let said = env::var(PATIENCE_VARIABLE).ok();
        said.and_then(|said| said.parse().ok()).unwrap_or(1)
    });
    limit.saturating_mul(factor)
}

/// Waits until `child` has exited, without reaping it, so that its pid and its
/// process group still mean it. Says whether it has within `limit`; a limit beyond
/// the end of time is none.
pub(crate) fn for_child(child: &Child, limit: Duration) -> Result<bool> {
    let pid = Pid::from_child(child);
    // An exited child has a pidfd until it is reaped, and that polls readable.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .with_context(|| format!("cannot watch process {}", pid.as_raw_nonzero()))?;
    let end = Instant::now().checked_add(limit);
    loop {
        let left = match end {
            None => PollTimeout::NONE,
            Some(end) => {
                let left = end.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, left) {
            Ok(0) if end.is_some_and(|end| Instant::now() >= end) => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno).context("cannot wait for a process"),
        }
    }
}

/// Asks `condition` until it says yes, for as long as `limit`, or longer where everything is slow
/// ([`PATIENCE_VARIABLE`]). Says whether it did.
///
/// # Errors
/// The first error of the condition ends the wait.
pub fn until(limit: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<bool> {
    const PAUSE: Duration = Duration::from_millis(20);
    let end = Instant::now() + patient(limit);
    loop {
        if condition()? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
}

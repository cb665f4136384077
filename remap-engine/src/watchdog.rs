//! Ends a dump or a restore that takes too long.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::criu::running;
use crate::phase::BoxError;
use crate::time_limit::Expired;

/// A pipe: the reading end reports hang-up when the writing end is closed, that is, when what is
/// watched has ended.
///
/// # Errors
/// There are no descriptors left.
pub fn end_signal() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

/// Waits until `ended` reports hang-up. When the limit is over before, the runtime is ended by
/// `abort`, and the CRIU that works on `image_dir` is killed; no other process is touched.
///
/// # Errors
/// [`Expired`], or the wait failed; then nothing was ended.
pub fn watch(
    ended: BorrowedFd<'_>,
    limit: Option<Duration>,
    annotation: &'static str,
    image_dir: &Path,
    abort: impl FnOnce(),
) -> Result<(), BoxError> {
    let Some(limit) = limit else {
        return Ok(());
    };
    if hangs_up_within(ended, limit)? {
        return Ok(());
    }
    tracing::warn!(?limit, "the time limit is over");
    abort();
    running::wait_until_gone(image_dir, Duration::ZERO)?;
    Err(Expired { limit, annotation }.into())
}

fn hangs_up_within(ended: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        // Longer waits than poll(2) can do are done in parts.
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, timeout) {
            Ok(0) if begun.elapsed() >= limit => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_millis(30));

    #[test]
    fn what_ends_in_time_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (ended, end) = end_signal().unwrap();
        drop(end);
        watch(ended.as_fd(), LIMIT, "a", dir.path(), || panic!("aborted")).unwrap();
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (ended, _end) = end_signal().unwrap();
        let mut aborted = false;
        let error = watch(ended.as_fd(), LIMIT, "a", dir.path(), || aborted = true).unwrap_err();
        assert!(aborted && error.is::<Expired>());
    }
}

//! Ends a dump or a restore that takes too long.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
pub(crate) fn end_signal() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

/// Time that does not count: somebody else works.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Mutex<(Duration, Option<Instant>)>);

impl Foreign {
    /// Does `work` of somebody else's.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.lock().1 = Some(Instant::now());
        let result = work();
        let mut lock = self.lock();
        let took = lock
            .1
            .take()
            .map_or(Duration::ZERO, |begun| begun.elapsed());
        lock.0 += took;
        result
    }

    fn so_far(&self) -> Duration {
        let lock = self.lock();
        lock.0 + lock.1.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, (Duration, Option<Instant>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until `ended` reports hang-up. When the limit is over before, without the time that is
/// `foreign`, the runtime is ended by `abort`, and the CRIU that works on `image_dir` is killed; no
/// other process is touched.
///
/// # Errors
/// [`Expired`], or the wait failed; then nothing was ended.
pub(crate) fn watch(
    ended: BorrowedFd<'_>,
    limit: Option<Duration>,
    foreign: &Foreign,
    annotation: &'static str,
    image_dir: &Path,
    abort: impl FnOnce(),
) -> Result<(), BoxError> {
    let Some(limit) = limit else {
        return Ok(());
    };
    if hangs_up_within(ended, limit, foreign)? {
        return Ok(());
    }
    tracing::warn!(?limit, "the time limit is over");
    abort();
    running::wait_until_gone(image_dir, Duration::ZERO)?;
    Err(Expired { limit, annotation }.into())
}

fn hangs_up_within(ended: BorrowedFd<'_>, limit: Duration, foreign: &Foreign) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        let left = (limit + foreign.so_far()).saturating_sub(begun.elapsed());
        // Longer waits than poll(2) can do are done in parts.
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, timeout) {
            Ok(0) if begun.elapsed() >= limit + foreign.so_far() => return Ok(false),
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

    fn watch_it(ended: &OwnedFd, foreign: &Foreign, abort: impl FnOnce()) -> Result<(), BoxError> {
        let dir = tempfile::tempdir().unwrap();
        watch(ended.as_fd(), LIMIT, foreign, "a", dir.path(), abort)
    }

    #[test]
    fn what_ends_in_time_is_left_alone() {
        let (ended, end) = end_signal().unwrap();
        drop(end);
        watch_it(&ended, &Foreign::default(), || panic!("aborted")).unwrap();
    }

    #[test]
    fn the_work_of_others_does_not_count() {
        let (ended, end) = end_signal().unwrap();
        let foreign = Foreign::default();
        std::thread::scope(|scope| {
            let (begins, begun) = std::sync::mpsc::channel();
            let foreign = &foreign;
            scope.spawn(move || {
                foreign.during(|| {
                    begins.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(200));
                });
                drop(end);
            });
            begun.recv().unwrap();
            watch_it(&ended, foreign, || panic!("aborted")).unwrap();
        });
        assert!(foreign.so_far() >= Duration::from_millis(200));
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let (ended, _end) = end_signal().unwrap();
        let mut aborted = false;
        let error = watch_it(&ended, &Foreign::default(), || aborted = true).unwrap_err();
        assert!(aborted && error.is::<Expired>());
    }
}

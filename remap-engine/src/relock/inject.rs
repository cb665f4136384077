//! One fcntl(2) by a task that is traced and stopped.

use crate::criu::locks::PosixLock;

#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Has the first thread of the lock's process take it. The task is stopped as before afterwards.
///
/// # Errors
/// Another process has a lock that forbids it, or the task cannot be made to call.
#[cfg(target_arch = "x86_64")]
pub(super) fn lock(lock: &PosixLock) -> Result<(), String> {
    x86_64::lock(lock)
}

/// On other machines it is not known how.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn lock(lock: &PosixLock) -> Result<(), String> {
    Err(format!(
        "the lock of descriptor {} of process {} is lost: CRIU drops locks of mapped files, and to take them again is only known on x86_64",
        lock.fd, lock.pid
    ))
}

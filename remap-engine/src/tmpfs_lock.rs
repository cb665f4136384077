//! One dump or restore at a time on each tmpfs.
//!
//! CRIU numbers its names `link_remap.N` within a dump: two dumps on one tmpfs pick the same, and the
//! second fails with `File exists` (`create_link_remap`), as does a restore that makes a ghost beside
//! another (`ghost_path`). A lock is a file that flock(2) locks, so it ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mountinfo::Device;
use crate::private;
use crate::time_limit::TimeLimit;

/// Where the locks of this host are. A device has one number whoever sees it.
const DIRECTORY: &str = "/run/containerd-shim-remap";

/// How often a lock that is taken is tried.
const STEP: Duration = Duration::from_millis(20);

/// Locks that are held; dropping them lets the next one in.
#[derive(Debug, Default)]
pub struct TmpfsLocks(Vec<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// Keeps the lock for as long as it lives.
    _file: File,
}

/// A tmpfs cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error(
        "another checkpoint or restore is under way on the tmpfs {device}, that of {holder}, and did not end within {} s; wait for it, or raise the limit with the annotation {annotation}",
        limit.as_secs()
    )]
    Taken {
        /// The file system.
        device: String,
        /// What its lock says of who has it.
        holder: String,
        /// How long it was waited for.
        limit: Duration,
        /// The annotation that sets the limit.
        annotation: &'static str,
    },
    /// The lock's file cannot be made.
    #[error("cannot lock {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TmpfsLocks {
    /// Waits for the locks of these file systems, for no longer than `limit`, and takes them for
    /// `holder`. All who take several do so in one order, so that nobody waits in a circle.
    ///
    /// # Errors
    /// One of them is not to be had; none is held then.
    pub fn take(
        devices: impl IntoIterator<Item = Device>,
        holder: &str,
        limit: (Option<Duration>, &TimeLimit),
    ) -> Result<Self, LockError> {
        Self::take_in(Path::new(DIRECTORY), devices, holder, limit)
    }

    fn take_in(
        directory: &Path,
        devices: impl IntoIterator<Item = Device>,
        holder: &str,
        (limit, by): (Option<Duration>, &TimeLimit),
    ) -> Result<Self, LockError> {
        let mut devices: Vec<(u32, u32)> = devices
            .into_iter()
            .map(|device| (device.major, device.minor))
            .collect();
        devices.sort_unstable();
        devices.dedup();
        let begun = Instant::now();
        let mut locks = Self::default();
        for (major, minor) in devices {
            let device = format!("{major}:{minor}");
            let path = directory.join(format!("tmpfs-{device}.lock"));
            let failed = |source| LockError::File {
                path: path.clone(),
                source,
            };
            loop {
                if let Some(file) = try_lock(directory, &path, holder).map_err(failed)? {
                    let path = path.clone();
                    locks.0.push(Held { path, _file: file });
                    break;
                }
                if let Some(limit) = limit.filter(|limit| begun.elapsed() >= *limit) {
                    return Err(LockError::Taken {
                        holder: std::fs::read_to_string(&path).unwrap_or_default(),
                        device,
                        limit,
                        annotation: by.annotation,
                    });
                }
                std::thread::sleep(STEP);
            }
        }
        Ok(locks)
    }
}

impl Drop for TmpfsLocks {
    fn drop(&mut self) {
        for Held { path, .. } in &self.0 {
            // Before the lock ends: who waits for this file sees then that it is gone.
            if let Err(error) = private::remove_if_exists(path) {
                tracing::warn!(%error, path = %path.display(), "a lock's file stays");
            }
        }
    }
}

/// Takes the lock, if it is free and still is what its name leads to.
fn try_lock(directory: &Path, path: &Path, holder: &str) -> io::Result<Option<File>> {
    private::create_dir(directory)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (own.dev(), own.ino()) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    file.set_len(0)?;
    std::os::unix::fs::FileExt::write_all_at(&file, holder.as_bytes(), 0)?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_limit::DUMP;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn device(minor: u32) -> Device {
        Device { major: 0, minor }
    }

    #[test]
    fn one_at_a_time_whatever_the_order_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (dir, inside) = (dir.path(), &inside);
                scope.spawn(move || {
                    for _ in 0..25 {
                        let mut wanted = [device(1), device(2), device(2)];
                        wanted.rotate_left(thread % 3);
                        let locks = TmpfsLocks::take_in(dir, wanted, "a", (None, &DUMP)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(locks);
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn who_has_it_is_named_when_the_time_is_over_and_another_tmpfs_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let soon = (Some(Duration::from_millis(30)), &DUMP);
        let take = |minor, holder| TmpfsLocks::take_in(dir.path(), [device(minor)], holder, soon);
        let first = take(1, "the first").unwrap();
        let error = take(1, "the second").unwrap_err().to_string();
        assert!(
            error.contains("the first") && error.contains(DUMP.annotation),
            "{error}"
        );
        take(2, "the second").unwrap();
        drop(first);
        take(1, "the second").unwrap();
    }
}

//! CRIU processes that work on an image directory.
//!
//! runc starts `criu swrk` as its child. When runc is killed CRIU goes on alone; when CRIU is
//! killed its helpers may live a moment longer. Either way nothing may be put back, or removed,
//! before they are gone.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ownership::all_pids;
use crate::process::Process;

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// CRIU, and the runtime that waits for it.
const NAMES: [&str; 2] = ["criu", "runc"];

/// After this time a CRIU that nobody waits for any more is killed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A killed process is gone within this time.
const DEATH: Duration = Duration::from_secs(2);

/// Waits until no CRIU works on `image_dir` any more; kills those that are left after `patience`.
/// Returns whether one had to be killed.
///
/// # Errors
/// `/proc` cannot be listed, or a process outlives SIGKILL for two seconds.
pub fn wait_until_gone(image_dir: &Path, patience: Duration) -> io::Result<bool> {
    if wait(image_dir, patience)? {
        return Ok(false);
    }
    for pid in find(image_dir)? {
        tracing::warn!(pid, "killing a CRIU that does not end");
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    if wait(image_dir, DEATH)? {
        return Ok(true);
    }
    let pids = find(image_dir)?;
    let what = format!("CRIU outlives SIGKILL: pids {pids:?}");
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

/// Whether all are gone before `limit` is over.
fn wait(image_dir: &Path, limit: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    while !find(image_dir)?.is_empty() {
        if begun.elapsed() >= limit {
            return Ok(false);
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
    Ok(true)
}

/// Processes of these names that have `image_dir` open, as CRIU has it from beginning to end
/// (`open_image_dir`), and runc, too.
fn find(image_dir: &Path) -> io::Result<Vec<i32>> {
    let wanted = match std::fs::metadata(image_dir) {
        Ok(metadata) => (metadata.dev(), metadata.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let works_on_it = |pid: &i32| {
        let Ok(process) = Process::pin(*pid) else {
            return false;
        };
        NAMES.contains(&process.command().as_str())
            && !process.has_ended()
            && process.has_open(wanted).unwrap_or(false)
    };
    Ok(all_pids()?.into_iter().filter(works_on_it).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A process named `criu` that has the directory open and does nothing.
    fn fake_criu(dir: &Path) -> Child {
        let program = dir.join("criu");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let child = Command::new(&program)
            .arg("60")
            .stdin(std::fs::File::open(dir).unwrap())
            .spawn()
            .unwrap();
        while find(dir).unwrap().is_empty() {
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        child
    }

    #[test]
    fn one_that_ends_is_waited_for_and_one_that_does_not_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!wait_until_gone(dir.path(), Duration::ZERO).unwrap());
        let mut child = fake_criu(dir.path());
        assert!(wait_until_gone(dir.path(), Duration::from_millis(50)).unwrap());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn another_directorys_is_left_alone() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut child = fake_criu(dir.path());
        assert!(!wait_until_gone(other.path(), Duration::ZERO).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

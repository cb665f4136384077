//! CRIU processes that work on an image directory.
//!
//! runc starts `criu swrk` as its child. When runc is killed CRIU goes on alone; when CRIU is
//! killed its helpers may live a moment longer. Either way nothing may be put back, or removed,
//! before they are gone. They are known by the directory that they have open, or, before they have
//! opened it, by their environment ([`MARK`]).

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hold::SCRIPT_NAME;
use crate::ownership::all_pids;
use crate::process::Process;

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The variable of the environment in which whoever starts a runtime for a dump or a restore has to
/// name the image directory. CRIU and its scripts inherit it.
pub const MARK: &str = "REMAP_IMAGE_DIR";

/// CRIU, the runtime that waits for it, and the script that waits for a verdict.
const NAMES: [&str; 3] = ["criu", "runc", SCRIPT_NAME];

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
    let begun = Instant::now();
    let mut killed = HashSet::new();
    loop {
        // Each time anew: one that is killed may have started another before.
        let left = find(image_dir)?;
        if left.is_empty() {
            return Ok(true);
        }
        if begun.elapsed() >= DEATH {
            let what = format!("CRIU outlives SIGKILL: pids {left:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        for pid in left {
            if killed.insert(pid) {
                tracing::warn!(pid, "killing a CRIU that does not end");
            }
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
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

/// Processes of these names that work on `image_dir`.
///
/// CRIU has it open from beginning to end (`open_image_dir`), and runc, too, once it is about to
/// start CRIU. When CRIU sets its title, which may overwrite what `/proc` shows of its environment,
/// it has opened the directory (`dump_using_req`).
fn find(image_dir: &Path) -> io::Result<Vec<i32>> {
    let opened = match std::fs::metadata(image_dir) {
        Ok(metadata) => Some((metadata.dev(), metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mark = [MARK.as_bytes(), b"=", image_dir.as_os_str().as_bytes()].concat();
    let works_on_it = |pid: &i32| {
        let Ok(process) = Process::pin(*pid) else {
            return false;
        };
        NAMES.contains(&process.command().as_str())
            && !process.has_ended()
            && (is_marked(&process, &mark)
                || opened.is_some_and(|dir| process.has_open(dir).unwrap_or(false)))
    };
    Ok(all_pids()?.into_iter().filter(works_on_it).collect())
}

fn is_marked(process: &Process, mark: &[u8]) -> bool {
    let environment = process.read("environ").unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == mark)
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
    fn one_that_has_not_opened_it_yet_is_known_by_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path().join("not-made-yet");
        let program = dir.path().join("runc");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let mut child = Command::new(&program)
            .arg("60")
            .env(MARK, &images)
            .spawn()
            .unwrap();
        while find(&images).unwrap().is_empty() {
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        assert!(find(dir.path()).unwrap().is_empty());
        assert!(wait_until_gone(&images, Duration::ZERO).unwrap());
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

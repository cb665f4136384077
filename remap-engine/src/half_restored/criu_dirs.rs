//! The directories that a CRIU makes for a restore, and leaves when it is killed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

/// Where CRIU mounts control groups, in its working directory (`prepare_cgroup_sfd`).
const CGROUP_YARD: &[u8] = b".criu.cgyard.";

/// Where it builds the container's mounts (`mnt_roots` in its `mount.c`); what follows is made by
/// mkdtemp(3).
const ROOTS: &[u8] = b"/tmp/.criu.mntns.";

/// Length of the part of a name that mkdtemp(3) makes.
const MADE_BYTES: usize = 6;

/// Removes those of the CRIU that has worked in `work_dir` and is gone. Only empty directories go.
///
/// # Errors
/// One of them cannot be removed, or the directory not be read; the others are tried all the same.
pub(super) fn remove(work_dir: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for dir in yards(work_dir)?.into_iter().chain(roots(work_dir)?) {
        // Perhaps nothing was mounted there yet, or the mount was CRIU's own.
        let _ = umount2(&dir, MntFlags::MNT_DETACH);
        match std::fs::remove_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
            _ => {}
        }
    }
    result
}

fn yards(work_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut yards = Vec::new();
    for entry in unless_missing(std::fs::read_dir(work_dir))?
        .into_iter()
        .flatten()
    {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(CGROUP_YARD) {
            yards.push(entry.path());
        }
    }
    Ok(yards)
}

/// Those that CRIU's log names: others in /tmp may be in use by another CRIU.
fn roots(work_dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let log = unless_missing(std::fs::read(work_dir.join("restore.log")))?;
    Ok(names(&log.unwrap_or_default()))
}

fn names(log: &[u8]) -> BTreeSet<PathBuf> {
    let found = log.windows(ROOTS.len() + MADE_BYTES).filter(|window| {
        let made = window.strip_prefix(ROOTS);
        made.is_some_and(|made| made.iter().all(u8::is_ascii_alphanumeric))
    });
    found.map(|name| OsStr::from_bytes(name).into()).collect()
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_them() {
        let log = b"(00.04) mnt: Will mount 67 @ /tmp/.criu.mntns.WGFpfg/mnt-67 /sys\n\
                    (00.04) mnt: Will mount 66 @ /tmp/.criu.mntns.WGFpfg/mnt-66 /proc\n\
                    (00.05) mnt: /tmp/.criu.mntns.../x /tmp/.criu.mntns.ab";
        let expected = BTreeSet::from(["/tmp/.criu.mntns.WGFpfg".into()]);
        assert_eq!(names(log), expected);
        assert_eq!(names(b""), BTreeSet::new());
    }

    #[test]
    fn only_empty_ones_that_are_named_go() {
        let work = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let prefix = Path::new(OsStr::from_bytes(ROOTS)).file_name().unwrap();
            let dir = tempfile::Builder::new()
                .prefix(prefix)
                .rand_bytes(MADE_BYTES)
                .tempdir_in("/tmp")
                .unwrap();
            std::fs::create_dir(work.path().join(name)).unwrap();
            dir
        };
        let (named, full, other) = (made(".criu.cgyard.a"), made("b"), made("c"));
        std::fs::write(full.path().join("x"), "").unwrap();
        let log = format!("@ {} @ {}", named.path().display(), full.path().display());
        std::fs::write(work.path().join("restore.log"), log).unwrap();
        assert!(remove(work.path()).is_err());
        assert!(!named.path().exists() && full.path().exists() && other.path().exists());
        assert!(!work.path().join(".criu.cgyard.a").exists());
        assert!(remove(Path::new("/nonexistent")).is_ok());
    }
}

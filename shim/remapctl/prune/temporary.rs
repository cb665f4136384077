//! Temporary directories that containerd and CRIU leave.

use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::age;
use super::item::{Fate, Item, Kind};
use super::size;
use crate::host::bundles;
use crate::host::used::Used;

/// containerd's checkpoints on their way to an image or from one (`ctrd-checkpoint` in its
/// `services/tasks/local.go`; containerd#10166). Its name goes on with digits (Go's `os.MkdirTemp`).
const OF_CONTAINERD: &str = "ctrd-checkpoint";

/// Where CRIU builds mounts, or loads a security profile; empty, or it is in use (mkdtemp(3)).
const OF_CRIU: [&str; 2] = [".criu.mntns.", ".criu.temp-aa-policy."];

/// Between creating and starting a container nobody has its checkpoint open.
pub(crate) const LEAST_AGE: Duration = Duration::from_secs(3600);

/// The file of a bundle with the pid of the container's first process (of runc's `--pid-file`).
const INIT: &str = "init.pid";

/// As [`find_with`], with one state directory at most.
///
/// # Errors
/// As there.
pub(crate) fn find(place: &Path, state: Option<&Path>, unused_for: Duration) -> Result<Vec<Item>> {
    let states: Vec<PathBuf> = state.into_iter().map(Path::to_owned).collect();
    find_with(place, &states, unused_for)
}

/// Those in `place`. Which a process uses, or somebody else than root has made, stay; so do those in
/// which something has changed within `unused_for`, and all of containerd's while one of the state
/// directories has a container that is created and not started: only its shim knows from which of them
/// it will be restored.
///
/// # Errors
/// A directory cannot be read.
pub(super) fn find_with(
    place: &Path,
    states: &[PathBuf],
    unused_for: Duration,
) -> Result<Vec<Item>> {
    let context = || format!("cannot read {}", place.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(place).with_context(context)? {
        let entry = entry.with_context(context)?;
        if is_known(&entry) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        return Ok(vec![]);
    }
    let used = Used::look().context("/proc cannot be read")?;
    let mut awaited = false;
    for state in states {
        let bundles = bundles::all(state)?;
        awaited |= bundles.iter().any(|bundle| !bundle.join(INIT).exists());
    }
    let item = |path: PathBuf| {
        let file = fs::symlink_metadata(&path).ok()?;
        let mut age = age::of(&file);
        if let Some(newest) = newest(&path) {
            age = age.min(newest);
        }
        let fate = if file.uid() != 0 {
            Fate::Stays("it is not root's".to_owned())
        } else if used.has(&path) {
            Fate::Stays("a process uses it".to_owned())
        } else if awaited && !is_of_criu(&path) {
            Fate::Stays("a container is not started yet, perhaps from it".to_owned())
        } else if age < unused_for {
            Fate::Stays(format!("it was written to {} ago", age::text(age)))
        } else if is_of_criu(&path) && fs::read_dir(&path).is_ok_and(|mut all| all.next().is_some())
        {
            Fate::Stays("it is not empty".to_owned())
        } else {
            Fate::Goes
        };
        Some(Item {
            kind: Kind::Temporary,
            bytes: size::of(&path),
            path,
            age,
            fate,
        })
    };
    Ok(found.into_iter().filter_map(item).collect())
}

fn is_known(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let digits = name.as_bytes().strip_prefix(OF_CONTAINERD.as_bytes());
    let of_containerd =
        digits.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
    of_containerd || is_of_criu(Path::new(&name))
}

fn is_of_criu(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let made = OF_CRIU
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix.as_bytes()));
    made.is_some_and(|made| made.len() == 6 && made.iter().all(u8::is_ascii_alphanumeric))
}

/// How long nothing in it was written to.
fn newest(dir: &Path) -> Option<Duration> {
    let files = fs::read_dir(dir).ok()?.flatten();
    files
        .filter_map(|entry| Some(age::of(&entry.metadata().ok()?)))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_used_noted_or_young_stays() {
        let (place, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| place.path().join(name);
        for name in [
            "ctrd-checkpoint1",
            "ctrd-checkpoint2",
            ".criu.mntns.abcDEF",
            ".criu.mntns.fulldr",
            "ctrd-checkpointx",
            "other",
        ] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at(".criu.mntns.fulldr").join("file"), "").unwrap();
        fs::write(at("ctrd-checkpoint1").join("file"), "").unwrap();
        symlink("/etc", at("ctrd-checkpoint3")).unwrap();
        let bundle = state.path().join("io.containerd.runtime.v2.task/default/c");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join(INIT), "1").unwrap();
        let states = [state.path().to_owned()];
        let look = |age| {
            let mut found = find_with(place.path(), &states, age).unwrap();
            found.sort_by(|a, b| a.path.cmp(&b.path));
            found
        };
        let goes = |found: &[Item]| found.iter().map(Item::goes).collect::<Vec<_>>();
        if !rustix::process::geteuid().is_root() {
            return;
        }
        assert_eq!(goes(&look(Duration::ZERO)), [true, false, true, true]);
        assert_eq!(goes(&look(LEAST_AGE)), [false; 4]);
        // One that is created and not started.
        fs::remove_file(bundle.join(INIT)).unwrap();
        assert_eq!(goes(&look(Duration::ZERO)), [true, false, false, false]);
        fs::write(bundle.join(INIT), "1").unwrap();
        let open = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(at("ctrd-checkpoint2"))
            .spawn();
        let mut open = open.unwrap();
        let found = look(Duration::ZERO);
        open.kill().unwrap();
        open.wait().unwrap();
        assert_eq!(goes(&found), [true, false, true, false]);
        let expected = Fate::Stays("a process uses it".into());
        assert_eq!(found[3].fate, expected);
    }
}

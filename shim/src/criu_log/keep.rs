//! Keeps the logs of failures outside of bundles and working directories, which go with the
//! container or the request: an error that names a log names one that is there.

use std::{
    fmt,
    fs::{self, DirEntry},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use remap_engine::private;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime as Clock},
};

/// Where they are kept, in a directory for each of containerd's namespaces.
const DIRECTORY: &str = "/var/log/containerd-shim-remap";

/// So many are kept in a namespace, each up to [`super::TAIL`] bytes; the oldest go first.
const KEPT: usize = 50;

/// The clock of files may be so much behind: a tick of the slowest kernel (`current_time`).
const TICK: Duration = Duration::from_millis(10);

/// A log that was kept.
#[derive(Debug)]
pub(crate) struct KeptLog(PathBuf);

impl fmt::Display for KeptLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " (CRIU's log: {})", self.0.display())
    }
}

/// The log that an operation may leave.
#[derive(Debug)]
pub(crate) struct Logs {
    directory: PathBuf,
    /// The log's name there, without the time.
    name: String,
    /// Where CRIU writes it.
    log: PathBuf,
    begun: SystemTime,
}

impl Logs {
    /// The log `log` of an operation on a container that begins now.
    pub(crate) fn of(namespace: &str, id: &str, log: PathBuf) -> Self {
        let operation = log.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            directory: Path::new(DIRECTORY).join(namespace),
            name: format!("{id}-{operation}"),
            log,
            begun: SystemTime::now() - TICK,
        }
    }

    /// Keeps the end of the log. If that cannot be done, it stays where it is. `None` if CRIU
    /// has written none.
    pub(crate) fn keep(&self) -> Option<KeptLog> {
        let written = fs::metadata(&self.log).and_then(|metadata| metadata.modified());
        // An older one is that of an earlier operation in the same working directory.
        if written.ok()? < self.begun {
            return None;
        }
        let path = self.copy().unwrap_or_else(|error| {
            tracing::warn!(%error, directory = %self.directory.display(), "cannot keep CRIU's log");
            self.log.clone()
        });
        Some(KeptLog(path))
    }

    fn copy(&self) -> io::Result<PathBuf> {
        private::create_dir(&self.directory)?;
        let path = self
            .directory
            .join(format!("{}-{}.log", self.name, timestamp()));
        private::create_file(&path)?.write_all(&super::tail(&self.log)?)?;
        rotate(&self.directory, KEPT)?;
        Ok(path)
    }
}

/// Now in UTC, such as `2026-11-24T151257.123456Z`: a colon would mean a host to rsync and scp.
fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = Clock.format_time(&mut Writer::new(&mut text));
    text.replace(':', "")
}

/// Removes the oldest logs until there are no more than `kept`.
fn rotate(directory: &Path, kept: usize) -> io::Result<()> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|it| it == "log") {
            logs.push((entry.metadata()?.modified()?, entry));
        }
    }
    logs.sort_by_key(|(time, _)| *time);
    let path = |(_, entry): &(SystemTime, DirEntry)| entry.path();
    let surplus = logs.len().saturating_sub(kept);
    logs.iter()
        .take(surplus)
        .map(path)
        .try_for_each(|path| private::remove_if_exists(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn logs(root: &Path) -> Logs {
        Logs {
            directory: root.join("kept/default"),
            ..Logs::of("default", "c1", root.join("work/dump.log"))
        }
    }

    #[test]
    fn a_log_outlives_the_working_directory() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        let logs = logs(root.path());
        assert!(logs.keep().is_none());
        fs::write(root.path().join("work/dump.log"), "Error").unwrap();
        let kept = logs.keep().unwrap();
        fs::remove_dir_all(root.path().join("work")).unwrap();
        assert_eq!(fs::read(&kept.0).unwrap(), b"Error");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept.0), 0o600);
        assert_eq!(mode(&logs.directory), 0o700);
        let name = kept.0.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("c1-dump-2") && !name.contains(':'),
            "{name}"
        );
    }

    #[test]
    fn the_log_of_an_earlier_operation_is_not_taken_for_this_ones() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        fs::write(root.path().join("work/dump.log"), "Error").unwrap();
        let later = Logs {
            begun: SystemTime::now() + Duration::from_secs(1),
            ..logs(root.path())
        };
        assert!(later.keep().is_none());
    }

    #[test]
    fn the_oldest_go() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (age, name) in ["new.log", "old.log", "notes", "older.log"]
            .iter()
            .enumerate()
        {
            let file = fs::File::create(root.path().join(name)).unwrap();
            let age = Duration::from_secs(age as u64);
            file.set_modified(now - age).unwrap();
        }
        rotate(root.path(), 1).unwrap();
        let mut left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["new.log", "notes"]);
    }

    #[test]
    fn where_nothing_can_be_kept_the_log_itself_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        fs::write(root.path().join("kept"), "in the way").unwrap();
        let logs = logs(root.path());
        fs::write(root.path().join("work/dump.log"), "Error").unwrap();
        assert_eq!(logs.keep().unwrap().0, root.path().join("work/dump.log"));
    }
}

//! CRIU's log: keeping it where it outlives the operation, and finding the line that explains.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::runc::RuncError;

/// The end of a log is enough to find its last error.
const TAIL: u64 = 256 << 10;

/// CRIU failed, and what its log says of it.
#[derive(Debug, thiserror::Error)]
#[error("CRIU failed, see {}{}", log.display(), .line.as_ref().map(|line| format!(" ({line})")).unwrap_or_default())]
pub(crate) struct CriuFailed {
    /// The log, kept in the bundle.
    log: PathBuf,
    /// The line of it that explains the failure.
    line: Option<String>,
    /// What runc says.
    #[source]
    source: RuncError,
}

impl CriuFailed {
    /// Reads the log, and keeps it as `criu-NAME` in the bundle, where the Go shim puts it: the
    /// working directory may be a temporary one.
    pub(crate) fn new(log: &Path, bundle: &Path, source: RuncError) -> Self {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        let kept = bundle.join(format!("criu-{name}"));
        let line = explanation(log);
        let log = match std::fs::copy(log, &kept) {
            Ok(_) => kept,
            Err(_) => log.to_owned(),
        };
        Self { log, line, source }
    }
}

/// Errors that CRIU survives: without CAP_SYS_RESOURCE it cannot raise its own limit of open
/// files, says so at the start of every run, and goes on.
const HARMLESS: [&str; 1] = ["Can't setup RLIMIT_NOFILE"];

/// The first error in the log that counts: CRIU prints the cause first and then how each
/// caller failed. A line looks like `(00.012345) Error (criu/file.c:12): message`.
fn explanation(path: &Path) -> Option<String> {
    let tail = tail(path).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let counts = |line: &&str| {
        line.contains("Error (") && !HARMLESS.iter().any(|harmless| line.contains(harmless))
    };
    let line = text.lines().find(counts)?;
    Some(
        line.split_once(") ")
            .map_or(line, |(_, rest)| rest)
            .trim()
            .to_owned(),
    )
}

/// Whether the dump that wrote the log was finished to its end: CRIU says so last, after the tasks
/// were ended or released (`cr_dump_finish`).
pub(crate) fn says_finished(path: &Path) -> bool {
    tail(path).is_ok_and(|tail| {
        let text = String::from_utf8_lossy(&tail);
        text.contains("Dumping finished successfully")
    })
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.log");
        assert_eq!(explanation(&path), None);
        let log = "(00.001) Dumping\n\
                   (00.001) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n\
                   (00.002) Error (criu/a.c:1): the cause\n\
                   (00.003) Error (criu/b.c:2): Dumping FAILED.\n";
        std::fs::write(&path, log).unwrap();
        assert_eq!(
            explanation(&path).as_deref(),
            Some("Error (criu/a.c:1): the cause")
        );
    }
}

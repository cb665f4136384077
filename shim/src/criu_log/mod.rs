//! CRIU's log: what it says of a failure, and keeping it where it outlives the operation.

mod keep;

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use remap_engine::criu::explain::explain;

pub(crate) use self::keep::{KeptLog, Logs};
use crate::runc::RuncError;

/// The end of a log is enough to find the error and the task that it is about.
const TAIL: u64 = 4 << 20;

/// CRIU failed, and what its log says of it.
#[derive(Debug, thiserror::Error)]
#[error("CRIU failed{}", .explanation.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub(crate) struct CriuFailed {
    /// What the log says of the failure: cause, object, remedy.
    explanation: Option<String>,
    /// What runc says.
    #[source]
    source: RuncError,
}

impl CriuFailed {
    /// Reads the log.
    pub(crate) fn new(log: &Path, source: RuncError) -> Self {
        Self {
            explanation: explanation(log),
            source,
        }
    }
}

/// Why CRIU failed, in one line; `None` if the log cannot be read or has no error.
fn explanation(log: &Path) -> Option<String> {
    Some(explain(&tail(log).ok()?)?.to_string())
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
    fn the_cause_is_explained() {
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

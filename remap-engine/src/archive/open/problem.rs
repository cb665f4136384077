//! Why reading ends early.

use std::io;
use std::path::Path;

use crate::archive::error::{ArchiveError, Fault, Faults};

/// Something is in the way.
#[derive(Debug)]
pub(super) enum Problem {
    /// The archive is damaged: what is wrong.
    Bad(String),
    /// It cannot be read.
    Read(io::Error),
    /// What was made of it cannot be written, or somebody has said that it is enough.
    Other(ArchiveError),
}

impl Problem {
    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self::Bad(what.into())
    }

    /// The error that it is, of an archive and of something in it.
    pub(super) fn of(self, archive: &Path, object: &str) -> ArchiveError {
        match self {
            Self::Bad(what) => damaged(archive, object, what),
            Self::Read(error) => ArchiveError::io("read", archive)(error),
            Self::Other(error) => error,
        }
    }
}

/// One thing is wrong.
pub(super) fn damaged(archive: &Path, object: &str, what: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged {
        path: archive.to_owned(),
        faults: Faults(vec![Fault {
            object: object.to_owned(),
            what: what.into(),
        }]),
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        Self::Other(error)
    }
}

/// What the system did not say is of who takes the bytes apart.
impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if error.raw_os_error().is_some() => Self::Read(error),
            io::ErrorKind::UnexpectedEof => Self::bad("ends too early"),
            _ => Self::Bad(error.to_string()),
        }
    }
}

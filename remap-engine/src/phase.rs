//! The phases of a checkpoint and of a restore, and the error that names one.

use std::error::Error;
use std::fmt;

/// Any error, with its sources.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A step of a checkpoint or a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Checkpoint: read the bundle and the configuration, make the image directory.
    Prepare,
    /// Checkpoint: stop the container's tasks.
    Freeze,
    /// Checkpoint: look at what they hold.
    Scan,
    /// Checkpoint: decide, and refuse what cannot be done.
    Plan,
    /// Checkpoint: CRIU writes its images.
    Dump,
    /// Checkpoint: the contents of the carried mounts are saved.
    Capture,
    /// Checkpoint: what CRIU wrote is held against what was carried.
    Reconcile,
    /// Checkpoint: everything is on disk, the manifest last.
    Seal,
    /// Checkpoint: whoever has asked for it does its own part, while the tasks stand still.
    HandOver,
    /// Checkpoint: the tasks run again, if they ran before.
    Thaw,
    /// Restore: the checkpoint is complete and undamaged.
    Verify,
    /// Restore: the runtime can do it, and each carried mount has its place here.
    Fit,
    /// Restore: the contents are put into the mounts.
    Populate,
    /// Restore: CRIU brings the tasks back.
    Restore,
    /// Restore: the old contents of the mounts are given up.
    Commit,
}

impl Phase {
    /// All, in their order.
    pub const ALL: [Self; 15] = [
        Self::Prepare,
        Self::Freeze,
        Self::Scan,
        Self::Plan,
        Self::Dump,
        Self::Capture,
        Self::Reconcile,
        Self::Seal,
        Self::HandOver,
        Self::Thaw,
        Self::Verify,
        Self::Fit,
        Self::Populate,
        Self::Restore,
        Self::Commit,
    ];

    /// Runs one phase; its log lines and its error name it.
    ///
    /// # Errors
    /// That of `work`, with the phase.
    pub fn run<T, E: Into<BoxError>>(
        self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, PhaseError> {
        let span = tracing::info_span!("phase", phase = %self);
        let _entered = span.enter();
        tracing::debug!("begins");
        let result = work().map_err(|source| self.failed(source));
        tracing::debug!(ok = result.is_ok(), "ended");
        result
    }

    /// The error of this phase.
    pub fn failed(self, source: impl Into<BoxError>) -> PhaseError {
        PhaseError {
            phase: self,
            source: source.into(),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Freeze => "freeze",
            Self::Scan => "scan",
            Self::Plan => "plan",
            Self::Dump => "dump",
            Self::Capture => "capture",
            Self::Reconcile => "reconcile",
            Self::Seal => "seal",
            Self::HandOver => "hand-over",
            Self::Thaw => "thaw",
            Self::Verify => "verify",
            Self::Fit => "fit",
            Self::Populate => "populate",
            Self::Restore => "restore",
            Self::Commit => "commit",
        })
    }
}

/// A checkpoint or restore failed in a phase. What holds then is said where it is returned.
#[derive(Debug, thiserror::Error)]
#[error("phase {phase}")]
pub struct PhaseError {
    /// Where.
    pub phase: Phase,
    /// Why.
    #[source]
    pub source: BoxError,
}

/// An error with all its sources on one line, as it is shown to the user.
#[must_use]
pub fn report(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let shown = source.to_string();
        // Transparent wrappers repeat their source.
        if !text.ends_with(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_phase_and_all_its_causes_once() {
        let error = Phase::Capture
            .run(|| Err::<(), _>(std::io::Error::other("no room")))
            .unwrap_err();
        assert_eq!(report(&error), "phase capture: no room");
    }
}

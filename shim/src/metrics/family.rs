//! What is counted.

use std::fmt;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A checkpoint.
    Checkpoint,
    /// A restore.
    Restore,
}

impl Operation {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Checkpoint, Self::Restore];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "checkpoint",
            Self::Restore => "restore",
        })
    }
}

/// A metric family (OpenMetrics 1.0, "MetricFamily"): one for each operation. Its samples have the
/// label `namespace`, which is containerd's, and some have another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Completed,
    Failures,
    PhaseSeconds,
    StoodStillSeconds,
    CarriedBytes,
    MemoryBytes,
    SizeBytes,
    CriuSeconds,
    CriuPages,
    LastTimestampSeconds,
}

impl Family {
    pub(super) const ALL: [Self; 10] = [
        Self::Completed,
        Self::Failures,
        Self::PhaseSeconds,
        Self::StoodStillSeconds,
        Self::CarriedBytes,
        Self::MemoryBytes,
        Self::SizeBytes,
        Self::CriuSeconds,
        Self::CriuPages,
        Self::LastTimestampSeconds,
    ];

    /// The family's name, without that of its operation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failures => "failures",
            Self::PhaseSeconds => "phase_seconds",
            Self::StoodStillSeconds => "stood_still_seconds",
            Self::CarriedBytes => "carried_bytes",
            Self::MemoryBytes => "memory_bytes",
            Self::SizeBytes => "size_bytes",
            Self::CriuSeconds => "criu_seconds",
            Self::CriuPages => "criu_pages",
            Self::LastTimestampSeconds => "last_timestamp_seconds",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Completed => "How many were completed",
            Self::Failures => "How many were refused or failed, by the phase in which",
            Self::PhaseSeconds => "Time by phase; phases may go on at the same time",
            Self::StoodStillSeconds => "Time for which tasks that ran before stood still",
            Self::CarriedBytes => "File data of mounts that was carried",
            Self::MemoryBytes => "Memory in the images of CRIU",
            Self::SizeBytes => "Size of the checkpoints",
            Self::CriuSeconds => "Time as CRIU tells it",
            Self::CriuPages => "Pages as CRIU counts them",
            Self::LastTimestampSeconds => "When the last that was completed began",
        }
    }

    /// The unit, with which the name ends.
    pub(super) fn unit(self) -> Option<&'static str> {
        let name = self.name();
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| name.ends_with(unit))
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::LastTimestampSeconds => "gauge",
            _ => "counter",
        }
    }

    /// What the names of its samples end with beyond its own.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::LastTimestampSeconds => "",
            _ => "_total",
        }
    }
}

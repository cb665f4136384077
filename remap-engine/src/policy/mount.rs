//! What an annotation says of single mounts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::{Fault, FaultKind};
use crate::criu::config::parse_size;

/// The annotation with the policies of mounts: `DESTINATION=POLICY`, several separated by `;`.
///
/// The destination ends at the last `=`, so that it can hold `=`, `:` and `,`. For `;`, a
/// backslash, and bytes that are not UTF-8, it has `\x` and two hexadecimal digits, as
/// [`crate::text`] writes them.
pub const MOUNTS: &str = "io.remap.mounts";

/// What the operator wants to happen with the files on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "treatment")]
pub enum MountPolicy {
    /// The contents are carried whole, also where they would not be.
    Carry {
        /// More than this is not carried: the checkpoint is refused. In bytes.
        #[serde(default)]
        limit_bytes: Option<u64>,
    },
    /// The files that the container holds go into the images, and their names are made again on
    /// the target.
    Ghost,
    /// The files that the container holds go into the images, and have no name on the target.
    Nameless,
    /// The target reaches the same files under the same source.
    Persistent,
    /// The contents are none of ours: they are not carried, and nothing is refused for them.
    Ignore,
    /// A checkpoint is refused while the container holds a file there.
    Refuse,
}

impl MountPolicy {
    /// The words for them, without a limit.
    pub(super) const ALL: [Self; 6] = [
        Self::Carry { limit_bytes: None },
        Self::Ghost,
        Self::Nameless,
        Self::Persistent,
        Self::Ignore,
        Self::Refuse,
    ];

    /// Its word in the annotation.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Carry { .. } => "carry",
            Self::Ghost => "ghost",
            Self::Nameless => "nameless",
            Self::Persistent => "persistent",
            Self::Ignore => "ignore",
            Self::Refuse => "refuse",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(limit) = text.strip_prefix("carry:") {
            let limit_bytes = Some(parse_size(limit)?);
            return Some(Self::Carry { limit_bytes });
        }
        Self::ALL.into_iter().find(|policy| policy.word() == text)
    }
}

impl std::fmt::Display for MountPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Carry {
                limit_bytes: Some(limit),
            } => write!(f, " up to {limit} bytes"),
            _ => Ok(()),
        }
    }
}

/// The policy of the mount at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The mount point, as mountinfo shows it or as the bundle has it.
    pub destination: PathBuf,
    /// What is wanted.
    pub policy: MountPolicy,
}

/// Reads the value of [`MOUNTS`]; what cannot be read is noted and left out.
pub(super) fn parse(value: &str, faults: &mut Vec<Fault>) -> Vec<Override> {
    let mut found: Vec<Override> = Vec::new();
    let entries = value.split(';').map(str::trim_ascii);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        match parse_one(entry) {
            Ok(one)
                if found
                    .iter()
                    .any(|other| other.destination == one.destination) =>
            {
                faults.push(Fault::new(MOUNTS, entry, FaultKind::Twice));
            }
            Ok(one) => found.push(one),
            Err(kind) => faults.push(Fault::new(MOUNTS, entry, kind)),
        }
    }
    found
}

fn parse_one(entry: &str) -> Result<Override, FaultKind> {
    let (destination, policy) = entry.rsplit_once('=').ok_or(FaultKind::NoPolicy)?;
    let policy = MountPolicy::parse(policy).ok_or(FaultKind::NoPolicy)?;
    let destination = crate::text::unescape(destination).ok_or(FaultKind::Escape)?;
    let destination = Path::new(&destination);
    if !destination.is_absolute() {
        return Err(FaultKind::Relative);
    }
    Ok(Override {
        destination: destination.components().collect(),
        policy,
    })
}

//! An annotation that cannot be used.

use super::{ANNOTATIONS, MOUNTS, mount::MountPolicy};
use crate::plan::Refusal;

/// An annotation that cannot be used, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    annotation: String,
    value: String,
    kind: FaultKind,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// There is no such annotation.
    Unknown,
    /// It is neither `true` nor `false`.
    NoBoolean,
    /// It is no number of bytes.
    NoSize,
    /// It is not `DESTINATION=POLICY`.
    NoPolicy,
    /// Its destination is not absolute.
    Relative,
    /// Its destination has a backslash that is no escape.
    Escape,
    /// Its destination has been named before.
    Twice,
}

impl Fault {
    pub(super) fn new(annotation: &str, value: &str, kind: FaultKind) -> Self {
        Self {
            annotation: annotation.to_owned(),
            value: value.to_owned(),
            kind,
        }
    }

    /// What is said of it.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let Self {
            annotation,
            value,
            kind,
        } = self;
        let what = match kind {
            FaultKind::Unknown => format!("there is no annotation {annotation}"),
            FaultKind::Twice => {
                format!("the annotation {annotation} says {value:?} of a mount named before")
            }
            _ => format!("the annotation {annotation} says {value:?}"),
        };
        let remedy = match kind {
            FaultKind::Unknown => format!("there are {}", ANNOTATIONS.join(", ")),
            FaultKind::NoBoolean => "write true or false".to_owned(),
            FaultKind::NoSize => "write bytes, or a number with K, M or G".to_owned(),
            FaultKind::NoPolicy => {
                let words = MountPolicy::ALL.map(MountPolicy::word);
                format!(
                    "write {MOUNTS}=DESTINATION=POLICY[;…], where a policy is one of {}, or carry:SIZE, a number of bytes or one with K, M or G",
                    words.join(", ")
                )
            }
            FaultKind::Relative => "write the absolute path of a mount point".to_owned(),
            FaultKind::Escape => {
                "write a backslash as \\x5c, a semicolon as \\x3b, and a byte that is not UTF-8 in the same way".to_owned()
            }
            FaultKind::Twice => "name each mount once".to_owned(),
        };
        Refusal { what, remedy }
    }
}

/// Annotations cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|fault| fault.refusal().to_string()).collect::<Vec<_>>().join("; also: "))]
pub struct PolicyError(pub Vec<Fault>);

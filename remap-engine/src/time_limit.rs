//! How long the parts of a checkpoint and of a restore may take.

use std::time::Duration;

use crate::bundle::Bundle;
use crate::plan::Refusal;

/// A limit that an annotation can change.
#[derive(Debug)]
pub struct TimeLimit {
    /// The annotation: whole seconds; `0` means no limit.
    pub annotation: &'static str,
    /// Without the annotation.
    pub default: Duration,
}

/// How long it may take until all tasks are frozen.
pub const FREEZE: TimeLimit = TimeLimit {
    annotation: "io.remap.freeze-timeout-seconds",
    default: Duration::from_secs(10),
};

/// How long a dump may take.
pub const DUMP: TimeLimit = TimeLimit {
    annotation: "io.remap.dump-timeout-seconds",
    default: Duration::from_secs(600),
};

/// How long a restore by the runtime may take.
pub const RESTORE: TimeLimit = TimeLimit {
    annotation: "io.remap.restore-timeout-seconds",
    default: Duration::from_secs(600),
};

/// An annotation holds no number.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.refusal())]
pub struct TimeLimitError {
    annotation: &'static str,
    value: String,
}

impl TimeLimitError {
    /// What is said of it.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal {
            what: format!("the annotation {} is {:?}", self.annotation, self.value),
            remedy: "write a number of seconds, or 0 for no limit".into(),
        }
    }
}

/// The limit was exceeded.
#[derive(Debug, thiserror::Error)]
#[error("it did not end within {} s; find out what holds it up, or raise the limit with the annotation {annotation}", limit.as_secs())]
pub struct Expired {
    /// The limit.
    pub limit: Duration,
    /// The annotation that sets it.
    pub annotation: &'static str,
}

impl TimeLimit {
    /// The limit for a container; `None` for none.
    ///
    /// # Errors
    /// The annotation holds no number.
    pub fn of(&self, bundle: &Bundle) -> Result<Option<Duration>, TimeLimitError> {
        let Some(value) = bundle.annotations.get(self.annotation) else {
            return Ok(Some(self.default));
        };
        match value.parse() {
            Ok(0) => Ok(None),
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
            Err(_) => Err(TimeLimitError {
                annotation: self.annotation,
                value: value.clone(),
            }),
        }
    }
}

/// Whether all limits of a container can be read.
///
/// # Errors
/// An annotation holds no number.
pub fn check(bundle: &Bundle) -> Result<(), TimeLimitError> {
    for limit in [FREEZE, DUMP, RESTORE] {
        limit.of(bundle)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(value: Option<&str>) -> Result<Option<Duration>, TimeLimitError> {
        let annotations = value.map(|value| (DUMP.annotation.to_owned(), value.to_owned()));
        let bundle = Bundle {
            path: "/b".into(),
            mounts: vec![],
            annotations: annotations.into_iter().collect(),
        };
        check(&bundle)?;
        DUMP.of(&bundle)
    }

    #[test]
    fn the_annotation_sets_it() {
        assert_eq!(limit(None).unwrap(), Some(DUMP.default));
        assert_eq!(limit(Some("5")).unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(limit(Some("0")).unwrap(), None);
        for value in ["", "5s", "-1"] {
            assert!(
                limit(Some(value))
                    .unwrap_err()
                    .to_string()
                    .contains(DUMP.annotation)
            );
        }
    }
}

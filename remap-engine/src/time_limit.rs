//! How long a dump and a restore may take.

use std::time::Duration;

use crate::bundle::Bundle;

/// Annotation with the limit of a dump, in whole seconds; `0` means none.
pub const DUMP: &str = "io.remap.dump-timeout-seconds";

/// Annotation with the limit of a restore by the runtime, in whole seconds; `0` means none.
pub const RESTORE: &str = "io.remap.restore-timeout-seconds";

/// The limit without an annotation.
pub const DEFAULT: Duration = Duration::from_secs(600);

/// An annotation holds no number.
#[derive(Debug, thiserror::Error)]
#[error("the annotation {annotation} is {value:?}; write a number of seconds, or 0 for no limit")]
pub struct TimeLimitError {
    annotation: &'static str,
    value: String,
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

/// The limit that `annotation` ([`DUMP`] or [`RESTORE`]) sets for the container; `None` for none.
///
/// # Errors
/// It holds no number.
pub fn of(bundle: &Bundle, annotation: &'static str) -> Result<Option<Duration>, TimeLimitError> {
    let Some(value) = bundle.annotations.get(annotation) else {
        return Ok(Some(DEFAULT));
    };
    match value.parse() {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(_) => Err(TimeLimitError {
            annotation,
            value: value.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(value: Option<&str>) -> Result<Option<Duration>, TimeLimitError> {
        let annotations = value.map(|value| (DUMP.to_owned(), value.to_owned()));
        let bundle = Bundle {
            path: "/b".into(),
            mounts: vec![],
            annotations: annotations.into_iter().collect(),
        };
        of(&bundle, DUMP)
    }

    #[test]
    fn the_annotation_sets_it() {
        assert_eq!(limit(None).unwrap(), Some(DEFAULT));
        assert_eq!(limit(Some("5")).unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(limit(Some("0")).unwrap(), None);
        for value in ["", "5s", "-1"] {
            assert!(limit(Some(value)).unwrap_err().to_string().contains(DUMP));
        }
    }
}

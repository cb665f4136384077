//! What comes of a command that is not done: its message and its exit code.

use std::fmt;
use std::process::ExitCode;

use anyhow::Error;
use remap_engine::archive::ArchiveError;
use remap_engine::phase;

/// It failed, and everything is as it was; or there is no answer.
const FAILED: u8 = 3;

/// The checkpoint is damaged.
pub(crate) const DAMAGED: u8 = 4;

/// Marks an error as a refusal: nothing was touched.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

/// The exit code of a command that failed.
pub(crate) fn code(error: &Error) -> ExitCode {
    let is = |test: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(test);
    let code = if is(|error| matches!(error.downcast_ref(), Some(ArchiveError::Damaged { .. }))) {
        DAMAGED
    } else if is(|error| error.is::<Refused>()) {
        1
    } else {
        FAILED
    };
    code.into()
}

/// The error on one line.
pub(crate) fn report(error: &Error) -> String {
    phase::report(error.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let error = Error::from(Refused(anyhow!("it has a queue"))).context("phase dump");
        assert_eq!(report(&error), "phase dump: refused: it has a queue");
        assert_eq!(
            format!("{:?}", code(&error)),
            format!("{:?}", ExitCode::from(1))
        );
        let other = format!("{:?}", code(&anyhow!("no room")));
        assert_eq!(other, format!("{:?}", ExitCode::from(3)));
    }
}

//! What was looked at, and what came of it.

use serde::Serialize;

/// The document's version: fields are only added within one.
const VERSION: u32 = 1;

/// What came of a check, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// Some containers, or some uses, are concerned.
    Warning,
    /// Cannot be told.
    Unknown,
    /// No checkpoint or no restore can work.
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What it is called; it stays so.
    pub(crate) name: &'static str,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// What was found, and why that is not good.
    pub(crate) what: String,
    /// A command that helps, to be pasted into a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Check {
    /// As it should be.
    pub(crate) fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, what.into(), None)
    }

    /// Not quite as it should be.
    pub(crate) fn warning(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Outcome::Warning, what.into(), None)
    }

    /// In the way.
    pub(crate) fn failure(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Outcome::Failure, what.into(), None)
    }

    /// Cannot be told.
    pub(crate) fn unknown(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Outcome::Unknown, what.into(), None)
    }

    /// What helps.
    pub(crate) fn remedy(mut self, command: impl Into<String>) -> Self {
        self.remedy = Some(command.into());
        self
    }

    fn new(name: &'static str, outcome: Outcome, what: String, remedy: Option<String>) -> Self {
        Self {
            name,
            outcome,
            what,
            remedy,
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: u32,
    /// This program's.
    remapctl: &'static str,
    /// The worst of all.
    pub(crate) verdict: Outcome,
    /// In the order in which they were made.
    pub(crate) checks: Vec<Check>,
}

impl Report {
    /// What `checks` come to.
    pub(crate) fn of(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.outcome).max();
        Self {
            version: VERSION,
            remapctl: env!("CARGO_PKG_VERSION"),
            verdict: worst.unwrap_or(Outcome::Unknown),
            checks,
        }
    }

    /// See the command line's help.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.verdict {
            Outcome::Ok | Outcome::Warning => 0,
            Outcome::Failure => 1,
            Outcome::Unknown => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let ok = || Check::ok("a", "x");
        let code = |checks| Report::of(checks).exit_code();
        assert_eq!(code(vec![ok()]), 0);
        assert_eq!(code(vec![ok(), Check::warning("b", "x")]), 0);
        assert_eq!(code(vec![Check::unknown("b", "x"), ok()]), 3);
        let failure = Check::failure("b", "x");
        assert_eq!(code(vec![failure, Check::unknown("c", "x")]), 1);
    }
}

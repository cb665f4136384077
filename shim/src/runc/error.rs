//! What can go wrong with a runc command.

use std::{ffi::OsString, io};

use thiserror::Error;

use crate::signal::Signal;

/// A runc command that did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum RuncError {
    /// It could not be started at all.
    #[error("cannot run {binary:?} {command}; is it installed and in containerd's PATH?")]
    Spawn {
        /// The program.
        binary: OsString,
        /// The sub-command.
        command: &'static str,
        /// What exec said.
        #[source]
        source: io::Error,
    },
    /// It ended with an error; `message` is its own.
    #[error("{message}")]
    Failed {
        /// The sub-command.
        command: &'static str,
        /// Its exit status.
        status: u32,
        /// The last error that it logged.
        message: String,
    },
    /// Its output is not the JSON that it should be.
    #[error("runc {command} of container {id} printed something unexpected")]
    Output {
        /// The sub-command.
        command: &'static str,
        /// The container.
        id: String,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// A status above this says by which signal runc was killed ([`crate::reaper::Exit`]); runc itself
/// ends with small numbers, or with 255 (`runc exec`).
const SIGNALS: u32 = 128;

/// The signal that a status stands for, if it does.
fn signal(status: u32) -> Option<u32> {
    let number = status.checked_sub(SIGNALS)?;
    Some(number).filter(|number| *number > 0 && Signal::new(*number).is_some())
}

/// What runc says when CRIU goes away while the two talk to each other (`criuSwrk`).
const LOST_CRIU: [&str; 3] = [
    "read unixpacket",
    "criu-xprt-cln: ",
    "criu swrk failed: signal",
];

impl RuncError {
    /// A runc that ended with `status`; `said` is the last error that it logged.
    pub(super) fn failed(command: &'static str, status: u32, said: Option<String>) -> Self {
        let message = match (said, signal(status)) {
            (_, Some(signal)) => format!(
                "runc {command} was killed by signal {signal}; look for who did it, or (for signal 9) \
                 whether the host ran out of memory"
            ),
            (Some(said), _) if LOST_CRIU.iter().any(|part| said.contains(part)) => format!(
                "{said}: CRIU ended without a word, as it does when it is killed; look for who did \
                 it, or whether the host ran out of memory"
            ),
            (Some(said), _) => said,
            (None, _) => format!("runc {command} ended with status {status}"),
        };
        Self::Failed {
            command,
            status,
            message,
        }
    }

    /// Whether a signal ended it, in the middle of whatever it did.
    pub(crate) fn was_killed(&self) -> bool {
        matches!(self, Self::Failed { status, .. } if signal(*status).is_some())
    }

    /// Whether runc says that it knows no such container; crun before 1.26 only names the file or
    /// directory that is not there.
    pub(crate) fn is_missing_container(&self) -> bool {
        self.says(&["does not exist"])
            || self.says(&["no such file or directory"])
                && self.says(&["/status`: ", "cannot open directory `"])
    }

    /// Whether runc says that there is no process left to signal; the wordings are those that
    /// containerd's own shim looks for, and crun's.
    pub(crate) fn is_finished_process(&self) -> bool {
        self.says(&[
            "process already finished",
            "container not running",
            "no such process",
            "is not running",
        ])
    }

    /// Whether runc gave up waiting for tasks to freeze (its `freezer.go` of either version).
    pub(crate) fn is_slow_freeze(&self) -> bool {
        self.says(&["freez"])
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let Self::Failed { message, .. } = self else {
            return false;
        };
        let message = message.to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: &str) -> RuncError {
        RuncError::Failed {
            command: "kill",
            status: 1,
            message: message.into(),
        }
    }

    #[test]
    fn wordings_of_runc_1_1_and_1_3_and_of_crun() {
        assert!(failed("container does not exist").is_missing_container());
        for crun in [
            "cannot open directory `/run/r/c1`: No such file or directory",
            "error opening file `/run/r/c1/status`: No such file or directory",
            "container `c1` does not exist: open `/run/r/c1/status`: No such file or directory",
        ] {
            assert!(failed(crun).is_missing_container(), "{crun}");
        }
        assert!(!failed("open `/x`: No such file or directory").is_missing_container());
        assert!(failed("container not running").is_finished_process());
        assert!(failed("os: process already finished").is_finished_process());
        assert!(!failed("permission denied").is_finished_process());
    }

    #[test]
    fn one_that_was_killed_says_by_what() {
        let killed = RuncError::failed("resume", 137, Some("a warning".into()));
        assert!(killed.was_killed());
        assert!(
            killed
                .to_string()
                .starts_with("runc resume was killed by signal 9;")
        );
        for (said, shown) in [
            (Some("why"), "why"),
            (None, "runc kill ended with status 1"),
        ] {
            let failed = RuncError::failed("kill", 1, said.map(str::to_owned));
            assert!(!failed.was_killed());
            assert_eq!(failed.to_string(), shown);
        }
        let failed = RuncError::failed("exec", 255, None);
        assert!(!failed.was_killed());
        assert_eq!(failed.to_string(), "runc exec ended with status 255");
    }
}

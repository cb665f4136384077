//! What can go wrong with a runc command.

use std::{ffi::OsString, io};

use thiserror::Error;

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

impl RuncError {
    /// Whether runc says that it knows no such container.
    pub(crate) fn is_missing_container(&self) -> bool {
        self.says(&["does not exist"])
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
    fn wordings_of_runc_1_1_and_1_3() {
        assert!(failed("container does not exist").is_missing_container());
        assert!(failed("container not running").is_finished_process());
        assert!(failed("os: process already finished").is_finished_process());
        assert!(!failed("permission denied").is_finished_process());
    }
}

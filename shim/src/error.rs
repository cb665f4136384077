//! The errors of the task service, and the one place that maps them to ttrpc codes.

use containerd_shim_protos::ttrpc::{self, Code};
use remap_engine::{
    bundle::AdoptError,
    phase::{BoxError, Phase, PhaseError, report},
    policy::PolicyError,
    time_limit::TimeLimitError,
};
use thiserror::Error;

use crate::{
    bundle::BundleError, criu_log::KeptLog, freezer::FreezeError, io::IoError, mounts::MountError,
    options::OptionsError, reaper::ReaperError, runc::RuncError, status::Refused,
};

/// Why a request failed.
#[derive(Debug, Error)]
pub(crate) enum TaskError {
    /// No such container here.
    #[error("container {id} does not exist")]
    NoContainer {
        /// The container.
        id: String,
    },
    /// No such exec in the container.
    #[error("process {exec_id} does not exist in container {id}")]
    NoProcess {
        /// The container.
        id: String,
        /// The exec.
        exec_id: String,
    },
    /// A second create.
    #[error("container {id} already exists")]
    ContainerExists {
        /// The container.
        id: String,
    },
    /// A second exec of the same id.
    #[error("process {exec_id} already exists in container {id}")]
    ProcessExists {
        /// The container.
        id: String,
        /// The exec.
        exec_id: String,
    },
    /// Not in this state.
    #[error("cannot {} container {id}: it is {}", .refused.op, .refused.status)]
    Refused {
        /// The container.
        id: String,
        /// What was wished, and the state.
        refused: Refused,
    },
    /// An exec that has no process yet.
    #[error("process {exec_id} of container {id} has not been started")]
    NotStarted {
        /// The container.
        id: String,
        /// The exec.
        exec_id: String,
    },
    /// An exec that was started before.
    #[error("process {exec_id} of container {id} has been started already")]
    Started {
        /// The container.
        id: String,
        /// The exec.
        exec_id: String,
    },
    /// A delete of what still runs.
    #[error("cannot delete process {exec_id} of container {id}: it is running")]
    StillRuns {
        /// The container.
        id: String,
        /// The exec.
        exec_id: String,
    },
    /// A signal to what has ended.
    #[error("process already finished")]
    Finished,
    /// Not a signal.
    #[error("{number} is not the number of a signal")]
    Signal {
        /// What came.
        number: u32,
    },
    /// A field of the request that cannot be used.
    #[error("{what} of the request cannot be used: {why}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Options that cannot be used.
    #[error("the request's options cannot be used")]
    Options(#[from] OptionsError),
    /// runc failed; the wording is the Go shim's, which some clients look for.
    #[error("OCI runtime {action} failed")]
    Runc {
        /// What it was to do.
        action: &'static str,
        /// What it says.
        #[source]
        source: RuncError,
    },
    /// A pause; the wording is the Go shim's.
    #[error("OCI runtime pause failed")]
    Freeze(#[from] FreezeError),
    /// An annotation of the bundle.
    #[error(transparent)]
    TimeLimit(#[from] TimeLimitError),
    /// Annotations of the bundle.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The bundle cannot be read.
    #[error(transparent)]
    EngineBundle(#[from] remap_engine::bundle::BundleError),
    /// A checkpoint or a restore.
    #[error("{what} failed{}", .log.as_ref().map(ToString::to_string).unwrap_or_default())]
    Engine {
        /// Which of the two.
        what: &'static str,
        /// CRIU's log, if it came so far.
        log: Option<KeptLog>,
        /// The phase, and why.
        #[source]
        source: PhaseError,
    },
    /// A restore failed, and the mounts of the container are not as before.
    #[error("the old contents of a mount are kept in the bundle and cannot be put back")]
    NotRolledBack(#[source] BoxError),
    /// A container that was frozen for a moment cannot be thawed.
    #[error("the container was frozen to be looked at and stays paused; resume it by hand")]
    StaysPaused(#[source] BoxError),
    /// A document that does not fit into a message.
    #[error(
        "the answer has {bytes} bytes and a message takes {limit}; take the checkpoint, which has the plan in remap-plan.json"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// What would be taken.
        limit: usize,
    },
    /// A document that has no JSON form.
    #[error("the answer cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// A standard stream.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle, when CRIU's configuration in it is taken over.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The root file system.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A process that cannot be waited for or signalled.
    #[error(transparent)]
    Reaper(#[from] ReaperError),
    /// A file of the shim's own.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Figures of a container that never had processes.
    #[error("container {id} has not run yet, so there are no figures")]
    NotRunning {
        /// The container.
        id: String,
    },
    /// Figures that cannot be read.
    #[error("cannot read the cgroup of container {id}")]
    Stats {
        /// The container.
        id: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The shim's own fault.
    #[error("the shim failed while handling the request; its log says where")]
    Internal,
}

impl TaskError {
    /// The code that the Go shim gives in the same case, or would if it checked.
    fn code(&self) -> Code {
        match self {
            Self::NoContainer { .. }
            | Self::NoProcess { .. }
            | Self::Finished
            | Self::Reaper(ReaperError::Finished { .. }) => Code::NOT_FOUND,
            Self::ContainerExists { .. } | Self::ProcessExists { .. } => Code::ALREADY_EXISTS,
            // A state that the Go shim does not know.
            Self::Refused { refused, .. } if refused.status.is_under_way() => {
                Code::FAILED_PRECONDITION
            }
            Self::NotStarted { .. } | Self::NotRunning { .. } | Self::NotRolledBack(_) => {
                Code::FAILED_PRECONDITION
            }
            Self::TooLarge { .. } => Code::RESOURCE_EXHAUSTED,
            Self::Signal { .. }
            | Self::Invalid { .. }
            | Self::TimeLimit(_)
            | Self::Policy(_)
            | Self::Options(
                OptionsError::Type { .. }
                | OptionsError::Decode { .. }
                | OptionsError::DecodeOlder { .. }
                | OptionsError::Toml { .. }
                | OptionsError::Annotation { .. },
            )
            | Self::Io(IoError::Scheme { .. } | IoError::Text { .. } | IoError::Input { .. }) => {
                Code::INVALID_ARGUMENT
            }
            Self::Engine { source, .. } => match source.phase {
                Phase::Prepare | Phase::Plan | Phase::Fit => Code::FAILED_PRECONDITION,
                _ => Code::UNKNOWN,
            },
            Self::Internal | Self::Encode(_) => Code::INTERNAL,
            // containerd's client takes FAILED_PRECONDITION of a kill for success.
            Self::Refused { .. }
            | Self::Started { .. }
            | Self::StillRuns { .. }
            | Self::Runc { .. }
            | Self::Freeze(_)
            | Self::StaysPaused(_)
            | Self::Options(OptionsError::File { .. })
            | Self::Io(
                IoError::Open { .. }
                | IoError::Pipe(_)
                | IoError::Console(_)
                | IoError::Logger { .. },
            )
            | Self::Bundle(_)
            | Self::EngineBundle(_)
            | Self::Adopt(_)
            | Self::Mount(_)
            | Self::Reaper(ReaperError::NotAChild { .. } | ReaperError::Kill { .. })
            | Self::File { .. }
            | Self::Stats { .. } => Code::UNKNOWN,
        }
    }
}

/// So long an error's text may be, in bytes: what does not fit into a message of ttrpc (4 MiB) would
/// never reach the client, and texts of requests and of runc are quoted.
const MAX_TEXT: usize = 16 << 10;

/// The beginning of a text that is too long.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

impl From<TaskError> for ttrpc::Error {
    fn from(error: TaskError) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), bounded(report(&error))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Op, Status};

    fn status(error: TaskError) -> (Code, String) {
        match ttrpc::Error::from(error) {
            ttrpc::Error::RpcStatus(status) => (status.code(), status.message),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_caller_learns_what_runc_said() {
        let error = TaskError::Runc {
            action: "create",
            source: RuncError::Failed {
                command: "create",
                status: 1,
                message: "no such file".into(),
            },
        };
        let expected = "OCI runtime create failed: no such file";
        assert_eq!(status(error), (Code::UNKNOWN, expected.into()));
    }

    #[test]
    fn a_long_text_is_cut_off() {
        let error = TaskError::Invalid {
            what: "id",
            why: "ü".repeat(MAX_TEXT),
        };
        let (code, text) = status(error);
        assert_eq!(code, Code::INVALID_ARGUMENT);
        assert!(text.starts_with("id of the request cannot be used: ü"));
        assert!(text.ends_with("ü…") && text.len() <= MAX_TEXT + '…'.len_utf8());
    }

    #[test]
    fn a_refusal_names_the_state() {
        let error = TaskError::Refused {
            id: "c1".into(),
            refused: Refused {
                op: Op::Exec,
                status: Status::Checkpointing { paused: false },
            },
        };
        let expected = "cannot exec in container c1: it is being checkpointed";
        assert_eq!(status(error), (Code::FAILED_PRECONDITION, expected.into()));
        let error = TaskError::Refused {
            id: "c1".into(),
            refused: Refused {
                op: Op::Pause,
                status: Status::Stopped,
            },
        };
        assert_eq!(status(error).0, Code::UNKNOWN);
        let error = TaskError::Reaper(ReaperError::Finished { pid: 1 });
        assert_eq!(status(error).0, Code::NOT_FOUND);
    }
}

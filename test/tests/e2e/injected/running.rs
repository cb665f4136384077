//! An operation that is under way, whoever has asked for it.

use std::fmt;
use std::thread::JoinHandle;

use anyhow::{Result, anyhow, ensure};
use remap_test::exec::Background;
use remap_test::shim::Api;

use super::PATIENCE;
use crate::interrupted::ground::Ground;

/// Who has asked for it.
#[derive(Debug)]
pub(super) enum Running {
    /// `ctr`.
    Client(Background),
    /// A thread of the test.
    Direct(JoinHandle<Result<()>>),
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Succeeded,
    /// What the client says.
    Failed(String),
}

impl Running {
    /// Asks the shim itself for a checkpoint.
    pub(super) fn checkpoint(ground: &Ground, exit: bool) -> Result<Self> {
        let api = Api::connect(ground.ctr.host(), crate::workload::ID)?;
        let images = ground.images.clone();
        let work = ground.work.clone();
        Ok(Self::Direct(std::thread::spawn(move || {
            api.checkpoint(&images, &work, exit)
        })))
    }

    /// Whether it goes on.
    pub(super) fn goes_on(&self) -> Result<bool> {
        match self {
            Self::Client(client) => client.is_running(),
            Self::Direct(thread) => Ok(!thread.is_finished()),
        }
    }

    /// Waits for its end.
    pub(super) fn finish(self) -> Result<Outcome> {
        match self {
            Self::Client(client) => {
                let output = client.finish(PATIENCE)?;
                ensure!(!output.timed_out, "no answer: {output:?}");
                Ok(if output.exit_code() == 0 {
                    Outcome::Succeeded
                } else {
                    Outcome::Failed(output.error_text().into_owned())
                })
            }
            Self::Direct(thread) => {
                let result = thread.join().map_err(|_| anyhow!("the request panicked"))?;
                Ok(match result {
                    Ok(()) => Outcome::Succeeded,
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                })
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("it succeeds"),
            Self::Failed(said) => write!(f, "it fails: {}", said.replace('\n', "; ")),
        }
    }
}

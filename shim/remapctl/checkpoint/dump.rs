//! The shim's part: it saves the container, and holds it until it is told what to do.

use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use remap_control::client::{self, CallError, Code};
use remap_control::hand_over::{Held, Meeting};
use remap_control::message::CheckpointRequest;
use tokio::task::JoinHandle;

use super::Subject;
use crate::args::Checkpoint;
use crate::connect::Found;
use crate::outcome::Refused;
use crate::path::absolute;

/// Until it has answered the shim is at work.
const NO_LIMIT: Duration = Duration::MAX;

/// A checkpoint that the shim takes.
pub(super) struct Dump<'s> {
    shim: &'s Found,
    /// Where the shim asks; closed, its answer is no.
    meeting: Meeting,
    /// The shim's answer, when it has come to an end.
    answer: Option<JoinHandle<Result<(), CallError>>>,
}

impl<'s> Dump<'s> {
    /// Has the shim begin.
    pub(super) fn begin(args: &Checkpoint, subject: &'s Subject) -> Result<Self> {
        let socket = subject.scratch.path().join("s");
        let meeting = Meeting::at(socket).context("cannot make a socket for the shim")?;
        let asked = args.asked;
        let request = CheckpointRequest {
            id: args.id.clone(),
            image_path: absolute(&subject.images())?,
            exit: asked.exit,
            tcp_established: asked.tcp_established,
            ext_unix_sk: asked.ext_unix_sk,
            shell_job: asked.shell_job,
            file_locks: asked.file_locks(),
            hand_over_socket: absolute(meeting.socket())?,
            volatile: true,
        };
        let socket = subject.shim.socket.clone();
        let answer =
            tokio::spawn(async move { client::checkpoint(&socket, &request, NO_LIMIT).await });
        Ok(Self {
            shim: &subject.shim,
            meeting,
            answer: Some(answer),
        })
    }

    /// Waits until the shim holds the container.
    ///
    /// # Errors
    /// The checkpoint failed.
    pub(super) async fn held(&mut self) -> Result<Held> {
        let Some(answer) = &mut self.answer else {
            bail!("the shim has answered before");
        };
        tokio::select! {
            held = self.meeting.held() => Ok(held?),
            answer = answer => {
                self.answer = None;
                self.judge(answer?)?;
                bail!("the shim did not hold the container")
            }
        }
    }

    /// Waits until the container goes on, after a no. Gives the error back.
    pub(super) async fn given_up(self, why: Error) -> Error {
        let Self {
            meeting, answer, ..
        } = self;
        drop(meeting);
        if let Some(answer) = answer {
            // It is our own no, in the shim's words.
            let answer = answer.await;
            tracing::debug!(?answer, "given up");
        }
        why
    }

    /// Waits until the checkpoint is complete, after a yes.
    ///
    /// # Errors
    /// It failed nevertheless.
    pub(super) async fn complete(mut self) -> Result<()> {
        match self.answer.take() {
            Some(answer) => self.judge(answer.await?),
            None => bail!("the shim has answered before"),
        }
    }

    fn judge(&self, answer: Result<(), CallError>) -> Result<()> {
        match answer {
            Ok(()) => Ok(()),
            // The shim has looked, and would not begin.
            Err(CallError::Refused {
                code: Code::FAILED_PRECONDITION | Code::INVALID_ARGUMENT,
                message,
            }) => Err(Refused(Error::msg(message)).into()),
            Err(error) => Err(self.shim.explain(error)),
        }
    }
}

//! `binary://` loggers: a program that reads a process's output from descriptors 3 (standard
//! output) and 4 (standard error) and closes descriptor 5 when it is ready (containerd's
//! runtime v2 documentation, Logging). With `binary-v2://` it has to write a byte there first
//! (containerd 2.3 `NewBinaryIO`).

use std::{io, os::fd::OwnedFd, process::Command, time::Duration};

use command_fds::{CommandFdExt, FdMapping};
use tokio::{io::AsyncReadExt, time};

use super::{IoError, Owner, new_pipe, receiver, target::BinaryUri};
use crate::{
    reaper::{Child, Reaper},
    signal::{self, Signal},
};

/// How long it may take to become ready.
const READY: Duration = Duration::from_secs(10);

/// How long it may go on reading after the last writer is gone, before it is told to end, and
/// how long after that.
const GRACE: Duration = Duration::from_secs(1);
const TERMINATION: Duration = Duration::from_secs(12);

/// A running logger.
#[derive(Debug)]
pub(super) struct Logger(Child);

impl Logger {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// [`IoError::Logger`]; it does not run then.
    pub(super) async fn start(
        uri: &BinaryUri,
        owner: Owner<'_>,
        stdout: OwnedFd,
        stderr: OwnedFd,
        reaper: &Reaper,
    ) -> Result<Self, IoError> {
        let failed = |source| IoError::Logger {
            path: uri.path.clone(),
            source,
        };
        let (ready, readiness) = new_pipe()?;
        let mut command = Command::new(&uri.path);
        command
            .args(&uri.args)
            .env_clear()
            .env("CONTAINER_ID", owner.id)
            .env("CONTAINER_NAMESPACE", owner.namespace)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mapping = |parent_fd, child_fd| FdMapping {
            parent_fd,
            child_fd,
        };
        command
            .fd_mappings(vec![
                mapping(stdout, 3),
                mapping(stderr, 4),
                mapping(readiness, 5),
            ])
            .map_err(|error| failed(io::Error::other(error)))?;
        let child = reaper.spawn(&mut command).map_err(failed)?;
        // It holds the shim's copies of the logger's descriptors.
        drop(command);
        let mut ready = receiver(ready)?;
        let problem = match time::timeout(READY, ready.read_u8()).await {
            // The end says so, too, where a byte need not.
            Ok(said) if said.is_ok() || !uri.must_say => return Ok(Self(child)),
            Ok(_) => io::Error::other(
                "it ended, or closed descriptor 5, without a byte there to say that it is ready, as \
                 binary-v2 demands",
            ),
            Err(_) => io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it was not ready after {} s", READY.as_secs()),
            ),
        };
        // Not reaped yet, or it is another's pid: the reaper knows.
        if let Err(error) = reaper.kill(child.pid(), Signal::KILL) {
            tracing::debug!(%error, "the logger has ended");
        }
        Err(failed(problem))
    }

    /// Lets it read to the end, then ends it.
    pub(super) async fn finish(self) {
        let pid = self.0.pid();
        let exited = self.0.exited();
        tokio::pin!(exited);
        for (limit, next) in [(GRACE, Signal::TERM), (TERMINATION, Signal::KILL)] {
            if time::timeout(limit, &mut exited).await.is_ok() {
                return;
            }
            // Not reaped yet, so the pid is still its own.
            let _ = signal::send(pid, next);
        }
        exited.await;
    }
}

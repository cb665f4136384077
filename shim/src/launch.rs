//! Starting a process through runc (`create`, `exec`, `restore`): its streams, its terminal and
//! its pid.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time;

use crate::{
    bundle,
    error::TaskError,
    io::{ConsoleSocket, IoError, Owner, ProcessIo, Stdio},
    options::Options,
    reaper::{Child, Reaper},
    runc::{Call, Invocation, Runc, RuncError},
};

/// runc has ended, so a terminal that it sent is there already.
const CONSOLE: Duration = Duration::from_secs(2);

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The process; its exit cannot be missed.
    pub(crate) child: Child,
    /// Its streams.
    pub(crate) io: ProcessIo,
}

/// What is launched, and where.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The runtime.
    pub(crate) runc: &'a Runc,
    /// The bundle, where the terminal's socket is put.
    pub(crate) bundle: &'a Path,
    /// The options with the owner of pipes.
    pub(crate) options: &'a Options,
    /// The streams.
    pub(crate) stdio: &'a Stdio,
    /// Whose they are.
    pub(crate) owner: Owner<'a>,
    /// Where runc writes the pid.
    pub(crate) pid_file: PathBuf,
    /// Where the pid of runc itself is noted while it runs; else there is 0.
    pub(crate) running: Option<&'a AtomicU32>,
}

/// Why nothing was launched.
#[derive(Debug)]
pub(crate) enum LaunchError {
    /// runc failed.
    Runc(RuncError),
    /// Something else did.
    Other(TaskError),
}

impl<E: Into<TaskError>> From<E> for LaunchError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl LaunchError {
    /// As the Go shim words it.
    pub(crate) fn during(self, action: &'static str) -> TaskError {
        match self {
            Self::Runc(source) => TaskError::Runc { action, source },
            Self::Other(error) => error,
        }
    }
}

impl Launch<'_> {
    /// Runs the command that `call` makes from the terminal's socket (if there is a terminal).
    ///
    /// # Errors
    /// [`LaunchError`]; streams are closed then. What runc leaves is runc's affair, and it
    /// cleans up after itself.
    pub(crate) async fn run(
        self,
        reaper: &std::sync::Arc<Reaper>,
        call: impl FnOnce(Option<&Path>) -> Call,
    ) -> Result<Launched, LaunchError> {
        let socket = if self.stdio.terminal {
            Some(ConsoleSocket::bind(self.bundle)?)
        } else {
            None
        };
        let (mut io, child_stdio) =
            ProcessIo::open(self.stdio, self.options, self.owner, reaper).await?;
        let window = reaper.window();
        let call = call(socket.as_ref().map(ConsoleSocket::path));
        let invocation = self
            .runc
            .spawn_with(&call, child_stdio)
            .map_err(LaunchError::Runc)?;
        let note = |pid| {
            if let Some(running) = self.running {
                running.store(pid, Ordering::SeqCst);
            }
        };
        note(invocation.pid());
        let finished = match &socket {
            None => invocation.finish(None).await.map_err(LaunchError::Runc),
            Some(socket) => self.connect(invocation, socket, &mut io, reaper).await,
        };
        note(0);
        finished?;
        let pid = bundle::read_pid(&self.pid_file)?;
        let child = window.claim(pid)?;
        Ok(Launched { child, io })
    }

    /// Waits for the terminal and for runc, in whatever order.
    async fn connect(
        &self,
        invocation: Invocation,
        socket: &ConsoleSocket,
        io: &mut ProcessIo,
        reaper: &Reaper,
    ) -> Result<(), LaunchError> {
        let finish = invocation.finish(None);
        tokio::pin!(finish);
        let (console, finished) = tokio::select! {
            console = socket.receive() => (console?, false),
            result = &mut finish => {
                result.map_err(LaunchError::Runc)?;
                let console = time::timeout(CONSOLE, socket.receive()).await.map_err(|_| {
                    IoError::Console(std::io::Error::new(
                        std::io::ErrorKind::TimedOut,
                        "the runtime sent no terminal",
                    ))
                })?;
                (console?, true)
            }
        };
        io.attach(console, self.stdio, self.owner, reaper).await?;
        if !finished {
            finish.await.map_err(LaunchError::Runc)?;
        }
        Ok(())
    }
}

//! A process's standard streams, between the container and what containerd asked for.
//!
//! The container always gets anonymous pipes (or /dev/null, or a terminal), never containerd's
//! fifos: CRIU restores only `pipe:` descriptors through runc's inherited ones, and a fifo of the
//! host is outside the container's mounts, which CRIU cannot look up.

mod binary;
mod console;
mod error;
mod relay;
mod splice;
mod target;

use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use tokio::net::unix::pipe;

use self::{
    binary::Logger,
    relay::{Relay, Source},
    target::Target,
};
pub(crate) use self::{
    console::{Console, ConsoleSocket},
    error::IoError,
    target::Stdio,
};
use crate::{options::Options, runc::ChildStdio};

/// Whose output it is; loggers are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    /// The containerd namespace.
    pub(crate) namespace: &'a str,
    /// The container.
    pub(crate) id: &'a str,
}

/// The shim's side of a process's streams.
#[derive(Debug, Default)]
pub(crate) struct ProcessIo {
    relay: Relay,
    logger: Option<Logger>,
    console: Option<Console>,
}

impl ProcessIo {
    /// Opens what `stdio` names. Returned with it: what the process gets.
    ///
    /// With a terminal the process gets /dev/null for now, and its streams are connected by
    /// [`ProcessIo::attach`] when runc has sent the terminal.
    ///
    /// # Errors
    /// [`IoError`]; nothing stays open then.
    pub(crate) async fn open(
        stdio: &Stdio,
        options: &Options,
        owner: Owner<'_>,
        reaper: &crate::reaper::Reaper,
    ) -> Result<(Self, ChildStdio), IoError> {
        let targets = stdio.targets()?;
        let mut io = Self::default();
        if stdio.terminal {
            return Ok((io, null_stdio()?));
        }
        let own = |fd: &OwnedFd| chown(fd, options);
        let stdin = match &targets.stdin {
            Target::Fifo(path) => {
                let (reader, writer) = new_pipe()?;
                own(&reader)?;
                io.relay.input(path, sender(writer)?)?;
                reader
            }
            _ => null()?,
        };
        let (stdout, stderr) = if let Target::Binary(uri) = &targets.stdout {
            let (out, err) = (new_pipe()?, new_pipe()?);
            own(&out.1)?;
            own(&err.1)?;
            io.logger = Some(Logger::start(uri, owner, out.0, err.0, reaper).await?);
            (out.1, err.1)
        } else {
            let mut output = |target: &Target| {
                if matches!(target, Target::Null) {
                    return null();
                }
                let (reader, writer) = new_pipe()?;
                own(&writer)?;
                io.relay.output(Source::Pipe(receiver(reader)?), target)?;
                Ok::<_, IoError>(writer)
            };
            (output(&targets.stdout)?, output(&targets.stderr)?)
        };
        let child = ChildStdio {
            stdin,
            stdout,
            stderr,
        };
        Ok((io, child))
    }

    /// Connects the terminal that runc sent.
    ///
    /// # Errors
    /// [`IoError`]; the process then has a terminal that nobody reads.
    pub(crate) async fn attach(
        &mut self,
        console: Console,
        stdio: &Stdio,
        owner: Owner<'_>,
        reaper: &crate::reaper::Reaper,
    ) -> Result<(), IoError> {
        let targets = stdio.targets()?;
        if let Target::Fifo(path) = &targets.stdin {
            self.relay.input(path, console.input())?;
        }
        match &targets.stdout {
            Target::Null => self.relay.discard(console.output()),
            Target::Binary(uri) => {
                let (out, err) = (new_pipe()?, new_pipe()?);
                self.logger = Some(Logger::start(uri, owner, out.0, err.0, reaper).await?);
                self.relay.copy(console.output(), sender(out.1)?);
            }
            target => {
                let source = Source::Console(console.clone());
                self.relay.output(source, target)?;
            }
        }
        self.console = Some(console);
        Ok(())
    }

    /// The terminal, if there is one.
    pub(crate) fn console(&self) -> Option<&Console> {
        self.console.as_ref()
    }

    /// Lets the process see the end of its input once what was written has been read.
    pub(crate) fn close_stdin(&mut self) {
        self.relay.close_input();
    }

    /// Ends the copying: output that is still in the pipes is delivered first, for a while.
    pub(crate) async fn finish(self) {
        self.relay.finish().await;
        // Only now: it holds the terminal open, and the logger reads what the relay delivered.
        drop(self.console);
        if let Some(logger) = self.logger {
            logger.finish().await;
        }
    }
}

fn null_stdio() -> Result<ChildStdio, IoError> {
    Ok(ChildStdio {
        stdin: null()?,
        stdout: null()?,
        stderr: null()?,
    })
}

fn null() -> Result<OwnedFd, IoError> {
    let path = Path::new("/dev/null");
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map(OwnedFd::from)
        .map_err(IoError::open(path))
}

/// Both ends of an anonymous pipe, reading end first.
fn new_pipe() -> Result<(OwnedFd, OwnedFd), IoError> {
    let (reader, writer) = io::pipe().map_err(IoError::Pipe)?;
    Ok((reader.into(), writer.into()))
}

fn sender(fd: OwnedFd) -> Result<pipe::Sender, IoError> {
    pipe::Sender::from_owned_fd(fd).map_err(IoError::Pipe)
}

fn receiver(fd: OwnedFd) -> Result<pipe::Receiver, IoError> {
    pipe::Receiver::from_owned_fd(fd).map_err(IoError::Pipe)
}

/// Gives the container's end of a pipe to the user that the options name, so that a container
/// in a user namespace can reopen it through /proc.
fn chown(fd: &OwnedFd, options: &Options) -> Result<(), IoError> {
    if options.io_uid == 0 && options.io_gid == 0 {
        return Ok(());
    }
    rustix::fs::fchown(
        fd.as_fd(),
        Some(rustix::fs::Uid::from_raw(options.io_uid)),
        Some(rustix::fs::Gid::from_raw(options.io_gid)),
    )
    .map_err(|errno| IoError::Pipe(errno.into()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::reaper::Reaper;

    const OWNER: Owner<'_> = Owner {
        namespace: "default",
        id: "c1",
    };

    async fn open(stdio: &Stdio) -> (ProcessIo, ChildStdio) {
        ProcessIo::open(stdio, &Options::default(), OWNER, &Reaper::default())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_fifo_is_relayed_through_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let stdio = Stdio {
            stdout: path.to_str().unwrap().into(),
            ..Stdio::default()
        };
        let (io, child) = open(&stdio).await;
        nix::unistd::write(&child.stdout, b"hello").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 5);
        drop(child);
        io.finish().await;
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 0, "released");
    }

    #[tokio::test]
    async fn a_file_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "before ").unwrap();
        let stdio = Stdio {
            stdout: format!("file://{}", path.display()),
            ..Stdio::default()
        };
        let (io, child) = open(&stdio).await;
        nix::unistd::write(&child.stdout, b"after").unwrap();
        drop(child);
        io.finish().await;
        assert_eq!(std::fs::read(&path).unwrap(), b"before after");
    }

    #[tokio::test]
    async fn input_ends_when_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let stdio = Stdio {
            stdin: path.to_str().unwrap().into(),
            ..Stdio::default()
        };
        let (mut io, child) = open(&stdio).await;
        let mut process = receiver(child.stdin).unwrap();
        std::fs::write(&path, "one").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(process.read(&mut buffer).await.unwrap(), 3);
        std::fs::write(&path, "two").unwrap();
        io.close_stdin();
        let mut rest = Vec::new();
        process.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"two");
        io.finish().await;
    }
}

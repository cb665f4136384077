//! The tasks that copy between a process and containerd's fifos or files.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::unix::pipe,
    task::JoinHandle,
    time,
};

use super::{Console, IoError, splice::splice_all, target::Target};

/// How long the output of an ended process may take to be delivered: a child that it left behind
/// may hold its pipes forever. The Go shim allows the same.
const DRAIN: Duration = Duration::from_secs(10);

/// Where a process's output comes out.
#[derive(Debug)]
pub(super) enum Source {
    /// A pipe.
    Pipe(pipe::Receiver),
    /// A terminal.
    Console(Console),
}

impl Source {
    /// For reading, whichever it is.
    fn reader(self) -> Box<dyn AsyncRead + Send + Unpin> {
        match self {
            Self::Pipe(pipe) => Box::new(pipe),
            Self::Console(console) => Box::new(console.output()),
        }
    }
}

/// The copies of one process.
#[derive(Debug, Default)]
pub(super) struct Relay {
    outputs: Vec<JoinHandle<()>>,
    input: Option<JoinHandle<()>>,
    /// The shim's own writer on the input fifo, kept only to be dropped.
    hold: Option<File>,
}

impl Relay {
    /// Copies from the fifo at `path` to the process.
    ///
    /// The shim holds the fifo open for writing, so that clients may come and go; the process
    /// sees the end of input when [`Relay::close_input`] was called and the last client is gone.
    ///
    /// # Errors
    /// [`IoError::Open`].
    pub(super) fn input(
        &mut self,
        path: &Path,
        process: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), IoError> {
        // Without a writer from the beginning the reader would see an end of file, for good
        // (fifo(7)); a fifo opened for both neither waits nor fails.
        let bridge = open(path, OpenOptions::new().read(true).write(true))?;
        let fifo = pipe::OpenOptions::new()
            .open_receiver(path)
            .map_err(IoError::open(path))?;
        self.hold = Some(open(path, OpenOptions::new().write(true))?);
        drop(bridge);
        self.input = Some(tokio::spawn(copy(fifo, process)));
        Ok(())
    }

    /// Copies what the process writes to a fifo or file.
    ///
    /// A fifo is held open for reading too, so that its writer outlives a containerd restart.
    ///
    /// # Errors
    /// [`IoError::Open`].
    pub(super) fn output(&mut self, process: Source, target: &Target) -> Result<(), IoError> {
        match target {
            Target::Fifo(path) => {
                let hold = open(path, OpenOptions::new().read(true))?;
                let fifo = pipe::OpenOptions::new()
                    .open_sender(path)
                    .map_err(IoError::open(path))?;
                self.outputs.push(tokio::spawn(async move {
                    match process {
                        Source::Pipe(pipe) => note_end(splice_all(pipe, fifo).await),
                        Source::Console(console) => copy(console.output(), fifo).await,
                    }
                    drop(hold);
                }));
            }
            Target::File(path) => {
                // What the Go shim does for a directory that is not there.
                if let Some(directory) = path.parent() {
                    std::fs::create_dir_all(directory).map_err(IoError::open(path))?;
                }
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)
                    .map_err(IoError::open(path))?;
                self.copy(process.reader(), tokio::fs::File::from_std(file));
            }
            Target::Null | Target::Binary(_) => self.discard(process.reader()),
        }
        Ok(())
    }

    /// Copies `from` to `to`, as an output.
    pub(super) fn copy(
        &mut self,
        from: impl AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
    ) {
        self.outputs.push(tokio::spawn(copy(from, to)));
    }

    /// Reads and forgets what the process writes, lest it wait for a reader.
    pub(super) fn discard(&mut self, process: impl AsyncRead + Send + Unpin + 'static) {
        self.copy(process, tokio::io::sink());
    }

    /// See [`Relay::input`].
    pub(super) fn close_input(&mut self) {
        self.hold = None;
    }

    /// Delivers the remaining output, for at most [`DRAIN`], then ends all copies.
    pub(super) async fn finish(mut self) {
        let outputs = std::mem::take(&mut self.outputs);
        let deadline = time::Instant::now() + DRAIN;
        for mut output in outputs {
            if time::timeout_at(deadline, &mut output).await.is_err() {
                tracing::warn!("output is cut off: something still holds the process's pipe");
                output.abort();
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for copy in self.outputs.iter().chain(&self.input) {
            copy.abort();
        }
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<File, IoError> {
    options
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(IoError::open(path))
}

async fn copy(mut from: impl AsyncRead + Send + Unpin, mut to: impl AsyncWrite + Send + Unpin) {
    note_end(tokio::io::copy(&mut from, &mut to).await.map(drop));
}

fn note_end(copied: io::Result<()>) {
    if let Err(error) = copied
        && !is_end(&error)
    {
        tracing::warn!(%error, "copying a standard stream ended early");
    }
}

/// A pipe without a reader, and a terminal that was hung up before it had read its input (EIO, see
/// tty_ioctl(4)), are how a copy normally ends.
fn is_end(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(libc::EIO)
}

//! Terminals: runc opens one in the container and sends its master over a socket
//! (runc's docs/terminals.md).

use std::{
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use containerd_shim::io::Pty;
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::UnixListener,
};

use super::IoError;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// The socket that runc sends a terminal to.
///
/// It lies in the bundle, whose path may be too long for a socket's (108 bytes, unix(7)), so that
/// runc gets the path of the shim's descriptor of the bundle instead.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
    /// What `path` goes through.
    _bundle: File,
}

impl ConsoleSocket {
    /// Listens in `bundle`.
    ///
    /// # Errors
    /// [`IoError::Console`].
    pub(crate) fn bind(bundle: &Path) -> Result<Self, IoError> {
        let directory = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(bundle)
            .map_err(IoError::open(bundle))?;
        let path = PathBuf::from(format!(
            "/proc/{}/fd/{}/console-{}.sock",
            std::process::id(),
            directory.as_raw_fd(),
            SERIAL.fetch_add(1, Ordering::Relaxed)
        ));
        Ok(Self {
            listener: UnixListener::bind(&path).map_err(IoError::Console)?,
            path,
            _bundle: directory,
        })
    }

    /// The path for runc.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for runc to send a terminal.
    ///
    /// # Errors
    /// [`IoError::Console`].
    pub(crate) async fn receive(&self) -> Result<Console, IoError> {
        let master = self.receive_master().await.map_err(IoError::Console)?;
        Pty::new(File::from(master))
            .map(Console)
            .map_err(|error| IoError::Console(io::Error::other(error)))
    }

    async fn receive_master(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept().await?;
        stream
            .async_io(Interest::READABLE, || {
                let mut name = [0_u8; 4096];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                recvmsg(
                    &stream,
                    &mut [IoSliceMut::new(&mut name)],
                    &mut ancillary,
                    RecvFlags::CMSG_CLOEXEC,
                )?;
                ancillary
                    .drain()
                    .find_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                        _ => None,
                    })
                    .ok_or_else(|| io::Error::other("the runtime sent no terminal"))
            })
            .await
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The master of a process's terminal.
#[derive(Clone)]
pub(crate) struct Console(Pty);

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    /// What goes into it.
    pub(super) fn input(&self) -> Pty {
        self.0.clone()
    }

    /// What comes out of it.
    pub(super) fn output(&self) -> Output {
        Output(self.0.clone())
    }

    /// Sets the size, in characters.
    ///
    /// # Errors
    /// What the ioctl says.
    pub(crate) fn resize(&self, width: u32, height: u32) -> io::Result<()> {
        let cells = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: cells(height),
            ws_col: cells(width),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.0, size).map_err(io::Error::from)
    }
}

/// What comes out of a terminal. It ends as that of a pipe does: of a terminal that was hung up a
/// read says EIO (tty_ioctl(4)), and a copy that gets an error forgets what it has still to write.
pub(super) struct Output(Pty);

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buf) {
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{IoSlice, Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    /// The fifo is full when the process ends: what was read by then is delivered, too.
    #[tokio::test]
    async fn a_slow_reader_gets_all() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let console = Console(Pty::new(File::from(pty.master)).unwrap());
        let (reader, writer) = io::pipe().unwrap();
        let (mut reader, writer) = (File::from(OwnedFd::from(reader)), OwnedFd::from(writer));
        let mut writer = tokio::net::unix::pipe::Sender::from_owned_fd(writer).unwrap();
        writer.writable().await.unwrap();
        let full = loop {
            if let Err(error) = writer.try_write(&[b'.'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);

        let mut output = console.output();
        let copy = tokio::spawn(async move { tokio::io::copy(&mut output, &mut writer).await });
        let mut slave = File::from(pty.slave);
        slave.write_all(b"the end").unwrap();
        // It reads now, and cannot write.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop(slave);
        let all = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        copy.await.unwrap().unwrap();
        let all = all.await.unwrap().unwrap();
        assert!(all.ends_with(b".the end"), "{}", all.len());
    }

    #[tokio::test]
    async fn a_terminal_comes_over_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's path may be.
        let bundle = dir.path().join("b".repeat(120));
        std::fs::create_dir(&bundle).unwrap();
        let socket = ConsoleSocket::bind(&bundle).unwrap();

        let pty = nix::pty::openpty(None, None).unwrap();
        let runc = UnixStream::connect(socket.path()).unwrap();
        let descriptors = [pty.master.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let name = [IoSlice::new(b"/dev/ptmx")];
        sendmsg(&runc, &name, &mut ancillary, SendFlags::empty()).unwrap();

        let console = socket.receive().await.unwrap();
        console.resize(80, 24).unwrap();
        let size = rustix::termios::tcgetwinsize(&pty.slave).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (80, 24));
        drop(socket);
        assert_eq!(std::fs::read_dir(&bundle).unwrap().count(), 0);

        let mut slave = File::from(pty.slave);
        slave.write_all(b"x").unwrap();
        let mut byte = [0];
        File::from(pty.master).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}

//! The hand-over of a checkpoint: while the tasks stand still the shim asks its client whether they
//! are to go on as planned, and the client does its own part before it answers.
//!
//! The client listens on a Unix socket and names it in its request. Once all is saved the shim
//! connects and waits for an answer: a commit, or anything else, which is the reason why not. A
//! client that goes away closes the connection, and that is a no as well; so nothing has to be timed.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

/// The answer that lets the checkpoint come to its end.
const COMMIT: &[u8] = b"\0commit";

/// The longest reason that is read, in bytes.
const LONGEST: u64 = 4096;

/// Why the checkpoint is given up.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The client is not there any more.
    #[error("the client does not listen at {socket} any more")]
    Gone {
        /// Where it was to listen.
        socket: PathBuf,
        /// Why it cannot be reached.
        #[source]
        source: io::Error,
    },
    /// The client went away instead of answering.
    #[error("the client has gone away")]
    WentAway,
    /// The client says no.
    #[error("the client has given it up: {0}")]
    GivenUp(String),
}

/// The shim's side: asks, and waits for the answer for as long as the client lives.
///
/// # Errors
/// The client says no, or is gone.
pub fn ask(socket: &Path) -> Result<(), HandOverError> {
    let gone = |source| HandOverError::Gone {
        socket: socket.to_owned(),
        source,
    };
    let stream = StdStream::connect(socket).map_err(gone)?;
    stream.shutdown(Shutdown::Write).map_err(gone)?;
    let mut answer = Vec::new();
    // A connection that breaks is one that ends.
    let read = stream.take(LONGEST).read_to_end(&mut answer);
    match (read, &answer[..]) {
        (Ok(_), COMMIT) => Ok(()),
        (Err(_), _) | (Ok(_), []) => Err(HandOverError::WentAway),
        (Ok(_), reason) => {
            let reason = String::from_utf8_lossy(reason).into_owned();
            Err(HandOverError::GivenUp(reason))
        }
    }
}

/// The client's side.
#[derive(Debug)]
pub struct Meeting {
    socket: PathBuf,
    listener: UnixListener,
}

impl Meeting {
    /// Listens at `socket`, which is in a directory that only its user can enter.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn at(socket: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(&socket)?;
        Ok(Self { socket, listener })
    }

    /// Where it is, for the request.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until the tasks stand still and all is saved.
    ///
    /// # Errors
    /// The connection cannot be accepted.
    pub async fn held(&self) -> io::Result<Held> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Held(stream))
    }
}

/// The tasks stand still until this is answered. Dropped without an answer it is a no.
#[derive(Debug)]
pub struct Held(UnixStream);

impl Held {
    /// The checkpoint comes to its end.
    ///
    /// # Errors
    /// The shim is gone.
    pub async fn commit(mut self) -> io::Result<()> {
        self.0.write_all(COMMIT).await?;
        self.0.shutdown().await
    }

    /// The checkpoint is given up, for this reason, and the tasks go on.
    ///
    /// # Errors
    /// The shim is gone.
    pub async fn give_up(mut self, reason: &str) -> io::Result<()> {
        self.0.write_all(reason.as_bytes()).await?;
        self.0.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered<F: Future<Output = ()>>(
        answer: impl FnOnce(Held) -> F,
    ) -> Result<(), HandOverError> {
        let dir = tempfile::tempdir().unwrap();
        let meeting = Meeting::at(dir.path().join("s")).unwrap();
        let socket = meeting.socket().to_owned();
        let asked = std::thread::spawn(move || ask(&socket));
        answer(meeting.held().await.unwrap()).await;
        asked.join().unwrap()
    }

    #[tokio::test]
    async fn only_a_commit_is_a_yes() {
        answered(async |held| held.commit().await.unwrap())
            .await
            .unwrap();
        let no = answered(async |held| held.give_up("no room").await.unwrap()).await;
        assert!(matches!(no, Err(HandOverError::GivenUp(reason)) if reason == "no room"));
        let gone = answered(async |held| drop(held)).await;
        assert!(matches!(gone, Err(HandOverError::WentAway)));
    }

    #[test]
    fn a_client_that_is_gone_is_a_no() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(matches!(ask(&socket), Err(HandOverError::Gone { .. })));
    }
}

//! SHA-256 in a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

use super::buffer::Buffer;
use crate::manifest::FileDigest;

/// So many pieces wait, at most.
const WAITING: usize = 2;

/// A digest that goes on.
#[derive(Debug)]
pub(super) struct Digesting {
    pieces: SyncSender<Arc<Buffer>>,
    thread: JoinHandle<FileDigest>,
}

impl Digesting {
    /// Of nothing yet.
    pub(super) fn begin() -> io::Result<Self> {
        let (pieces, incoming) = sync_channel::<Arc<Buffer>>(WAITING);
        let work = move || {
            let (mut hash, mut size) = (Sha256::new(), 0);
            for piece in incoming {
                hash.update(piece.bytes());
                size += piece.bytes().len() as u64;
            }
            FileDigest {
                size,
                sha256: format!("{:x}", hash.finalize()),
            }
        };
        let thread = std::thread::Builder::new()
            .name("digest".to_owned())
            .spawn(work)?;
        Ok(Self { pieces, thread })
    }

    /// Goes on with this piece.
    pub(super) fn push(&self, piece: &Arc<Buffer>) -> io::Result<()> {
        let sent = self.pieces.send(Arc::clone(piece));
        sent.map_err(|_| io::Error::other("the thread that makes a digest has ended"))
    }

    /// Of all pieces.
    pub(super) fn end(self) -> io::Result<FileDigest> {
        drop(self.pieces);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the thread that makes a digest has ended"))
    }
}

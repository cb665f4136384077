//! Collecting what a process writes while it runs.

use std::io::Read;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The bytes read from a stream so far, by a thread of its own.
#[derive(Debug)]
pub(super) struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Capture {
    pub(super) fn start(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, end) = channel();
        let into = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            // An error is the end as well: the other side is gone.
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let read = buffer.get(..count).unwrap_or_default();
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(read);
            }
            // Nobody may be waiting for the end, and that is fine.
            let _ = sender.send(());
        });
        Self { bytes, end }
    }

    /// What has come so far.
    pub(super) fn so_far(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All of it, or what has come within `grace`: a process left in the background
    /// may hold the stream open for ever.
    pub(super) fn finish(&self, grace: Duration) -> Vec<u8> {
        let _ = self.end.recv_timeout(grace);
        self.so_far()
    }
}

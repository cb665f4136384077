//! The log of a shim, which it writes to a FIFO in the bundle.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// What was logged so far.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    /// While it is open there is a writer, so that the reader goes on after the shim.
    _writer: File,
}

impl Log {
    /// Reads the FIFO `path` from now on.
    pub(crate) fn follow(path: PathBuf) -> Result<Self> {
        let text = Arc::new(Mutex::new(Vec::new()));
        let open = || OpenOptions::new().read(true).write(true).open(&path);
        let writer = open().with_context(|| format!("cannot open {}", path.display()))?;
        let mut reader = File::open(&path)?;
        let into = text.clone();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut part) {
                let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend(part.iter().take(length));
            }
        });
        Ok(Self {
            text,
            _writer: writer,
        })
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

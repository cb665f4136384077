//! The FIFOs of a process, as containerd's clients make them.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::stat::Mode;
use remap_test::Host;

/// How long an output may take to end.
const LIMIT: Duration = Duration::from_secs(10);

/// Three FIFOs. Both outputs are read from the beginning.
pub(super) struct Streams {
    /// Their paths in the host.
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    paths: [PathBuf; 3],
    outputs: [Receiver<Vec<u8>>; 2],
}

impl Streams {
    /// Makes FIFOs whose names begin with `prefix`.
    pub(super) fn make(host: &Host, prefix: &str) -> Result<Self> {
        let names = ["stdin", "stdout", "stderr"].map(|name| format!("{prefix}-{name}"));
        let paths = names.clone().map(|name| host.path(name));
        for path in &paths {
            nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600))
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
        let [_, stdout, stderr] = &paths;
        let outputs = [read(stdout.clone()), read(stderr.clone())];
        let [stdin, stdout, stderr] = names;
        Ok(Self {
            stdin,
            stdout,
            stderr,
            paths,
            outputs,
        })
    }

    /// Opens the input for writing; waits for the shim.
    pub(super) fn open_stdin(&self) -> Result<File> {
        let [stdin, ..] = &self.paths;
        // With the reading end open as well, it does not wait, and a write before the shim has
        // opened its end is kept by the pipe.
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(stdin)
            .context("cannot open the input")
    }

    /// Writes to the input, and closes it.
    pub(super) fn write_stdin(&self, bytes: &[u8]) -> Result<()> {
        let [stdin, ..] = &self.paths;
        let mut file = OpenOptions::new().write(true).open(stdin)?;
        file.write_all(bytes)?;
        Ok(())
    }

    /// All of the standard output; waits for its end.
    pub(super) fn stdout(&self) -> String {
        let [stdout, _] = &self.outputs;
        text(stdout)
    }

    /// All of the standard error; waits for its end.
    pub(super) fn stderr(&self) -> String {
        let [_, stderr] = &self.outputs;
        text(stderr)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Readers that nobody has written to wait in open(2).
        for path in &self.paths {
            let _ = OpenOptions::new()
                .write(true)
                .custom_flags(nix::libc::O_NONBLOCK)
                .open(path);
        }
    }
}

fn read(path: PathBuf) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(path) {
            let _ = file.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn text(output: &Receiver<Vec<u8>>) -> String {
    match output.recv_timeout(LIMIT) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => "(it does not end)".to_owned(),
    }
}

//! A runc that runs, and what it says.

use std::{
    fs::File,
    io::{Read, Seek},
    path::PathBuf,
};

use super::{error::RuncError, log};
use crate::reaper::Child;

/// Output beyond this many bytes is cut off.
const MAX_OUTPUT: u64 = 4 << 20;

/// A running runc.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(super) command: &'static str,
    pub(super) child: Child,
    pub(super) log: LogFile,
}

impl Invocation {
    /// The pid of runc.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for its end; `stderr` is quoted if the log says nothing.
    ///
    /// # Errors
    /// [`RuncError::Failed`] for any exit status but 0.
    pub(crate) async fn finish(self, stderr: Option<&mut File>) -> Result<(), RuncError> {
        let exit = self.child.exited().await;
        if exit.status == 0 {
            return Ok(());
        }
        let message = log::last_error(&self.log.read())
            .or_else(|| stderr.map(read_back).and_then(|bytes| last_line(&bytes)));
        Err(RuncError::failed(self.command, exit.status, message))
    }
}

/// A running runc whose output is captured.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(super) invocation: Invocation,
    pub(super) stdout: File,
    pub(super) stderr: File,
}

impl Captured {
    /// The pid of runc.
    pub(crate) fn pid(&self) -> u32 {
        self.invocation.pid()
    }

    /// Waits for its end, and returns what it printed.
    ///
    /// # Errors
    /// As for [`Invocation::finish`].
    pub(crate) async fn output(mut self) -> Result<Vec<u8>, RuncError> {
        self.invocation.finish(Some(&mut self.stderr)).await?;
        Ok(read_back(&mut self.stdout))
    }
}

/// The log of one invocation, removed with it.
#[derive(Debug)]
pub(super) struct LogFile(pub(super) PathBuf);

impl LogFile {
    fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(&self.0) {
            // What could be read is all that is wanted.
            let _ = file.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        bytes
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// All that was written to a captured stream.
fn read_back(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    if file.rewind().is_ok() {
        let _ = file.take(MAX_OUTPUT).read_to_end(&mut bytes);
    }
    bytes
}

/// The last line that says something.
pub(crate) fn last_line(bytes: &[u8]) -> Option<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something() {
        assert_eq!(last_line(b"a\nb\n\n").as_deref(), Some("b"));
        assert_eq!(last_line(b"\n"), None);
    }
}

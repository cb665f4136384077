//! How a command ended, and what it said.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// The end of a command in a host.
#[derive(Debug, Clone)]
pub struct Output {
    /// The host's name.
    pub host: String,
    /// The command line.
    pub command: String,
    /// How the process ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// From its start until its end was seen.
    pub elapsed: Duration,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
}

impl Output {
    /// The exit code; for a death by signal 128 and its number, as a shell has it.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        let signal = self.status.signal().unwrap_or(0);
        self.status.code().unwrap_or(128 + signal)
    }

    /// Standard output as text, without the white space at its end.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        trimmed(&self.stdout)
    }

    /// Standard error as text, without the white space at its end.
    #[must_use]
    pub fn error_text(&self) -> Cow<'_, str> {
        trimmed(&self.stderr)
    }

    /// This output if the exit code is 0.
    ///
    /// # Errors
    /// It is not; the error tells everything that is known.
    pub fn ok(self) -> Result<Self, CommandFailed> {
        if self.status.success() && !self.timed_out {
            Ok(self)
        } else {
            Err(CommandFailed(Box::new(self)))
        }
    }
}

fn trimmed(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.trim_ascii_end())
}

/// A command in a host that did not exit with 0.
#[derive(Debug, Clone)]
pub struct CommandFailed(pub Box<Output>);

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = &self.0;
        let end = if output.timed_out {
            "timed out"
        } else {
            "failed"
        };
        write!(
            f,
            "on host {}: `{}` {end} with {} after {:.1?}",
            output.host,
            output.command,
            output.exit_code(),
            output.elapsed
        )?;
        for (stream, text) in [("stdout", output.text()), ("stderr", output.error_text())] {
            if !text.is_empty() {
                write!(f, "\n  {stream}: {}", text.replace('\n', "\n          "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for CommandFailed {}

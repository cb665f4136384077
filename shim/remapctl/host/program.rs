//! Asking programs.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long one may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// As much as is read of an answer, in bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// What a program has said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// On its standard output.
    pub(crate) output: String,
    /// On its standard error.
    pub(crate) error: String,
}

impl Answer {
    /// What it has said on its standard output, if `program` has succeeded.
    ///
    /// # Errors
    /// It failed.
    pub(crate) fn ok(self, program: &Path) -> Result<String, ProgramError> {
        if self.status.success() {
            return Ok(self.output);
        }
        Err(ProgramError::Fails {
            program: program.into(),
            status: self.status,
            said: self.last_line().to_owned(),
        })
    }

    /// The last line of what it said, for messages; errors first.
    pub(crate) fn last_line<'a>(&'a self) -> &'a str {
        let line = |text: &'a str| text.lines().rfind(|line| !line.trim().is_empty());
        line(&self.error)
            .or_else(|| line(&self.output))
            .unwrap_or("nothing")
    }
}

/// A program does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It cannot be started, or not be read from.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It takes too long.
    #[error("{program} does not answer within {} s", limit.as_secs())]
    Limit {
        /// The program.
        program: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// It fails.
    #[error("{program} fails ({status}): {said}")]
    Fails {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        said: String,
    },
}

/// Runs `program`, with `path` as its `PATH`, and reads what it says.
///
/// # Errors
/// It does not run, or not end in time (it is killed then).
pub(crate) fn ask<S: AsRef<OsStr>>(
    program: &Path,
    path: Option<&OsString>,
    args: &[S],
) -> Result<Answer, ProgramError> {
    ask_within(LIMIT, program, path, args)
}

/// As [`ask`], of one that may take `limit`.
///
/// # Errors
/// As there.
pub(crate) fn ask_within<S: AsRef<OsStr>>(
    limit: Duration,
    program: &Path,
    path: Option<&OsString>,
    args: &[S],
) -> Result<Answer, ProgramError> {
    let failed = |source| ProgramError::Run {
        program: program.into(),
        source,
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command.spawn().map_err(failed)?;
    let output = child.stdout.take().map(|pipe| thread::spawn(|| read(pipe)));
    let error = child.stderr.take().map(|pipe| thread::spawn(|| read(pipe)));
    let Some(status) = wait(&mut child, limit).map_err(failed)? else {
        return Err(ProgramError::Limit {
            program: program.into(),
            limit,
        });
    };
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    Ok(Answer {
        status,
        output: text(output),
        error: text(error),
    })
}

/// As [`ask`], of a program that has to succeed.
///
/// # Errors
/// As there, or it fails.
pub(crate) fn check<S: AsRef<OsStr>>(
    program: &Path,
    path: Option<&OsString>,
    args: &[S],
) -> Result<String, ProgramError> {
    ask(program, path, args)?.ok(program)
}

fn read(pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read until an error counts.
    let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Kills the child at the limit; `None` then.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_and_how_it_ended() {
        let sh = Path::new("/bin/sh");
        let answer = ask(sh, None, &["-c", "echo out; echo err >&2; exit 3"]).unwrap();
        assert_eq!((&*answer.output, &*answer.error), ("out\n", "err\n"));
        assert_eq!(answer.status.code(), Some(3));
        let path = OsString::from("/x");
        let said = check(sh, Some(&path), &["-c", "echo $PATH"]).unwrap();
        assert_eq!(said, "/x\n");
        let error = check(sh, None, &["-c", "echo no >&2; exit 1"]).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh fails (exit status: 1): no");
        assert!(check(Path::new("/nowhere"), None, &["x"]).is_err());
    }
}

//! What the tracer is told, and by whom.
//!
//! It is a process of its own, because its tasks report to it as children do, and a shim reaps every
//! child that reports.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tracer::TRACER_NAME;
use crate::criu::locks::PosixLock;
use crate::phase::BoxError;

/// The tracer needs milliseconds; one that is stuck is ended, and the tasks with it.
const LIMIT: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// All processes of the container.
    pub(super) processes: Vec<i32>,
    /// What to take.
    pub(super) locks: Vec<PosixLock>,
}

/// What the tracer says, a line each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The tasks may be thawed: each stops before it runs.
    Attached,
    /// All locks are there, and the tasks run.
    Done,
    /// Why not. The tasks are dead.
    Failed(String),
}

/// Has a tracer, which is `executable` called by another name, take the locks for the processes,
/// which are frozen and thawed by `thaw`.
///
/// # Errors
/// A lock cannot be taken, or the tracer fails. The tasks are ended, or still frozen.
pub fn take(
    executable: &Path,
    processes: Vec<i32>,
    locks: Vec<PosixLock>,
    thaw: impl FnOnce() -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let mut command = Command::new(executable);
    command
        .arg0(TRACER_NAME)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut tracer = command.spawn()?;
    let result = talk(&mut tracer, &Order { processes, locks }, thaw);
    if result.is_err() {
        let _ = tracer.kill();
    }
    // A shim's reaper may have been faster.
    let _ = tracer.wait();
    result
}

fn talk(
    tracer: &mut Child,
    order: &Order,
    thaw: impl FnOnce() -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let (Some(mut input), Some(output)) = (tracer.stdin.take(), tracer.stdout.take()) else {
        return Err("the tracer has no streams".into());
    };
    match input.write_all(&serde_json::to_vec(order)?) {
        // It does not read: its answer, or the lack of one, says why.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    drop(input);
    let (sender, answers) = mpsc::channel();
    // It ends with the tracer.
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let answer = || -> Result<Answer, BoxError> {
        let line = answers.recv_timeout(LIMIT).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => {
                format!("the tasks do not stop within {} s", LIMIT.as_secs())
            }
            mpsc::RecvTimeoutError::Disconnected => "the tracer has died".into(),
        })?;
        Ok(serde_json::from_str(&line)?)
    };
    let expect = |answer: Answer, expected: Answer| -> Result<(), BoxError> {
        match answer {
            Answer::Failed(why) => Err(why.into()),
            answer if answer == expected => Ok(()),
            answer => Err(format!("the tracer says {answer:?}").into()),
        }
    };
    expect(answer()?, Answer::Attached)?;
    thaw()?;
    expect(answer()?, Answer::Done)
}

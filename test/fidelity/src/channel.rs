//! How the processes of a workload are asked, and how they answer: by signals, and by files in a
//! directory of the root file system, each of which is replaced as a whole.
//!
//! ```text
//! roles/NN-NAME   the pid of a process; NN is the order in which they are asked
//! question        "ROUND STEP"
//! answers/…       what the process of that name says to it: the question, and below it the
//!                 differences, of which there should be none
//! error           why the workload could not be set up
//! ready           all processes are there
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DIR: &str = "/fidelity";

/// What a process is asked by.
pub(crate) const SIGNAL: Signal = Signal::SIGUSR1;

/// For one process and one step. Some hash gigabytes, on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a process shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Change what is shared.
    Act,
    /// Compare what is there with what was there.
    Check,
}

/// A step of a round; rounds are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) round: u64,
    pub(crate) step: Step,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = match self.step {
            Step::Act => "act",
            Step::Check => "check",
        };
        write!(f, "{} {step}", self.round)
    }
}

impl FromStr for Question {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (round, step) = text.split_once(' ').context("a question has two words")?;
        let step = match step {
            "act" => Step::Act,
            "check" => Step::Check,
            other => bail!("no step is called {other}"),
        };
        Ok(Self {
            round: round.parse()?,
            step,
        })
    }
}

/// Makes an empty place for the files above, for processes of any user.
pub(crate) fn begin() -> Result<()> {
    for dir in [DIR.into(), path("roles"), path("answers")] {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    }
    Ok(())
}

/// Says that this process is there and plays `role`.
pub(crate) fn register(role: &str) -> Result<()> {
    replace(&format!("roles/{role}"), &std::process::id().to_string())
}

/// Says that all are there.
pub(crate) fn announce() -> Result<()> {
    replace("ready", "")
}

/// The question that was asked last.
pub(crate) fn question() -> Result<Question> {
    fs::read_to_string(path("question"))?.parse()
}

/// Answers it.
pub(crate) fn answer(role: &str, question: Question, differences: &[String]) -> Result<()> {
    let text = format!("{question}\n{}", differences.join("\n"));
    replace(&format!("answers/{role}"), &text)
}

/// Leaves the reason for an end. There may be no place for it.
pub(crate) fn note_error(error: &str) {
    let _ = replace("error", error);
}

/// Waits until the process that plays `role` is there.
pub(crate) fn wait_for_role(role: &str) -> Result<()> {
    wait_for(&path(&format!("roles/{role}")))
}

/// Waits until there is something at `path`.
pub(crate) fn wait_for(path: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while path.symlink_metadata().is_err() {
        ensure!(Instant::now() < end, "{} does not come", path.display());
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Has every process act, and then every one check. Fails with all that is different.
pub(crate) fn ask() -> Result<()> {
    let round = question().map_or(0, |last| last.round) + 1;
    let mut roles = Vec::new();
    for entry in fs::read_dir(path("roles"))? {
        roles.push(entry?.file_name().to_string_lossy().into_owned());
    }
    roles.sort();
    ensure!(!roles.is_empty(), "nobody is there to be asked");
    let mut different = Vec::new();
    for step in [Step::Act, Step::Check] {
        let question = Question { round, step };
        replace("question", &question.to_string())?;
        for role in &roles {
            for difference in ask_one(role, question)? {
                different.push(format!("{role}: {difference}"));
            }
        }
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

/// What the process that plays `role` says.
fn ask_one(role: &str, question: Question) -> Result<Vec<String>> {
    let pid = fs::read_to_string(path(&format!("roles/{role}")))?;
    let pid = Pid::from_raw(pid.parse().context("a role's pid")?);
    kill(pid, SIGNAL).with_context(|| format!("{role} (pid {pid}) is not there any more"))?;
    let expected = question.to_string();
    let end = Instant::now() + PATIENCE;
    loop {
        let said = fs::read_to_string(path(&format!("answers/{role}"))).unwrap_or_default();
        let mut lines = said.lines();
        if lines.next() == Some(&expected) {
            return Ok(lines.map(str::to_owned).collect());
        }
        ensure!(
            Instant::now() < end,
            "{role} (pid {pid}) does not answer to {question}"
        );
        sleep(Duration::from_millis(5));
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Writes a file so that a reader sees the old text or the new one.
fn replace(name: &str, text: &str) -> Result<()> {
    let into = path(name);
    let beside = path(&format!(
        "{}.{}",
        name.replace('/', "-"),
        std::process::id()
    ));
    let write = || fs::write(&beside, text).and_then(|()| fs::rename(&beside, &into));
    write().with_context(|| format!("cannot write {}", into.display()))
}

//! What runs in a container: its task.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Ctr;
use super::truth::patiently;
use crate::exec::Output;
use crate::wait;

/// The state of a task, as containerd names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Made, not started.
    Created,
    /// It runs.
    Running,
    /// Frozen.
    Paused,
    /// Being frozen.
    Pausing,
    /// It has ended and is not deleted.
    Stopped,
    /// Its shim did not say.
    Unknown,
}

/// A line of `ctr task ls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its container.
    pub id: String,
    /// Its first process, in the host's numbers.
    pub pid: u32,
    /// Its state.
    pub status: Status,
}

impl Ctr<'_> {
    /// All tasks of the namespace.
    ///
    /// # Errors
    /// `ctr` fails, or says something unknown.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        let output = self.command(["task", "ls"]).check()?;
        output.text().lines().skip(1).map(parse_task).collect()
    }

    /// The task of the container `id`, if there is one.
    ///
    /// # Errors
    /// As for [`Self::tasks`].
    pub fn task(&self, id: &str) -> Result<Option<Task>> {
        Ok(self.tasks()?.into_iter().find(|task| task.id == id))
    }

    /// Waits until the task has the state `status`, and returns it.
    ///
    /// # Errors
    /// It does not come into that state in time.
    pub fn wait_for(&self, id: &str, status: &Status, limit: Duration) -> Result<Task> {
        let mut last = None;
        wait::until(limit, || {
            last = self.task(id)?;
            Ok(last.as_ref().is_some_and(|task| task.status == *status))
        })?;
        match last {
            Some(task) if task.status == *status => Ok(task),
            other => bail!(
                "container {id} on host {} is not {status:?} after {limit:?} but {other:?}",
                self.host.name()
            ),
        }
    }

    /// Sends a signal (`SIGTERM`) to the task's first process.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn kill(&self, id: &str, signal: &str) -> Result<()> {
        self.command(["task", "kill", "--signal", signal, id])
            .check()?;
        Ok(())
    }

    /// Freezes the task.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn pause(&self, id: &str) -> Result<()> {
        let pause = || {
            self.command(["task", "pause", id]).check()?;
            Ok(())
        };
        if self.is_ours(id) {
            pause()
        } else {
            patiently(pause)
        }
    }

    /// Lets a frozen task run on.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn resume(&self, id: &str) -> Result<()> {
        self.command(["task", "resume", id]).check()?;
        Ok(())
    }

    /// The pids of the task's processes, in the host's numbers.
    ///
    /// # Errors
    /// `ctr` fails, or says something that is no pid.
    pub fn pids(&self, id: &str) -> Result<Vec<u32>> {
        let output = self.command(["task", "ps", id]).check()?;
        let text = output.text();
        let words = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next());
        words
            .map(|pid| {
                pid.parse()
                    .with_context(|| format!("`ctr task ps` says {pid:?}"))
            })
            .collect()
    }

    /// Runs another program in the container, to its end; its output and exit code
    /// are those of `ctr`.
    ///
    /// # Errors
    /// `ctr` cannot be started.
    pub fn exec(&self, id: &str, args: &[&str]) -> Result<Output> {
        let exec_id = unique_exec_id();
        self.command(["task", "exec", "--exec-id", &exec_id, id])
            .args(args)
            .run()
    }

    /// Deletes the task of a container that has ended, and returns its exit code.
    ///
    /// # Errors
    /// It has not ended, or `ctr` fails for another reason.
    pub fn delete_task(&self, id: &str) -> Result<i32> {
        // ctr complains about an exit code that is not 0, and about failures.
        let output = self.command(["task", "delete", id]).run()?;
        let said = output.error_text();
        if said.is_empty() && output.status.success() {
            return Ok(0);
        }
        let (_, code) = said
            .split_once(&format!("task {id} exit with non-zero exit code "))
            .with_context(|| {
                format!(
                    "cannot delete task {id} on host {}: {said}",
                    self.host.name()
                )
            })?;
        let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .with_context(|| format!("`ctr task delete` says {said:?}"))
    }

    /// Deletes a container that has no task.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn delete_container(&self, id: &str) -> Result<()> {
        self.command(["container", "delete", id]).check()?;
        Ok(())
    }
}

/// Names an exec as nothing else on any host.
fn unique_exec_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("exec-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Reads `ID PID STATUS`.
fn parse_task(line: &str) -> Result<Task> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(pid), Some(status)) = (words.next(), words.next(), words.next()) else {
        bail!("`ctr task ls` says {line:?}");
    };
    Ok(Task {
        id: id.to_owned(),
        pid: pid
            .parse()
            .with_context(|| format!("`ctr task ls` says {line:?}"))?,
        status: match status {
            "CREATED" => Status::Created,
            "RUNNING" => Status::Running,
            "PAUSED" => Status::Paused,
            "PAUSING" => Status::Pausing,
            "STOPPED" => Status::Stopped,
            "UNKNOWN" => Status::Unknown,
            _ => bail!("`ctr task ls` says {line:?}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Status, Task, parse_task};

    #[test]
    fn reads_a_line_of_the_list() {
        let task = parse_task("c1       3107    RUNNING    ").expect("a good line");
        let expected = Task {
            id: "c1".into(),
            pid: 3107,
            status: Status::Running,
        };
        assert_eq!(task, expected);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(parse_task("c1 3107").is_err());
        assert!(parse_task("c1 x RUNNING").is_err());
        assert!(parse_task("c1 3107 DANCING").is_err());
    }
}

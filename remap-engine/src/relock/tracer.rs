//! Takes locks for processes of which it is not one (ptrace(2)).

use std::io::{self, Write};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::inject;
use super::order::{Answer, Order};
use crate::process::Process;

/// An executable that is called by this name is the tracer.
pub const TRACER_NAME: &str = "remap-tracer";

/// `PTRACE_EVENT_STOP` of linux/ptrace.h.
const STOP: i32 = 128;

/// Acts as the tracer: reads an order from its standard input and says to its standard output what
/// became of it. If it dies, so do the tasks (`PTRACE_O_EXITKILL`).
#[must_use]
pub fn run() -> ExitCode {
    let answer = match serde_json::from_reader(io::stdin().lock()) {
        Ok(order) => follow(&order),
        Err(error) => Err(format!("the order cannot be read: {error}")),
    };
    let code = ExitCode::from(u8::from(answer.is_err()));
    let answer = answer.map_or_else(Answer::Failed, |()| Answer::Done);
    match say(&answer) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn say(answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

/// Stops all tasks, before they run anything of their own, takes the locks, and lets all go.
pub(super) fn follow(order: &Order) -> Result<(), String> {
    let mut tasks = Vec::new();
    for process in &order.processes {
        attach(*process, &mut tasks)?;
    }
    say(&Answer::Attached).map_err(|error| format!("nobody listens: {error}"))?;
    for task in &tasks {
        wait_for_stop(*task)?;
    }
    for lock in &order.locks {
        inject::lock(lock)?;
    }
    for task in tasks {
        let detached = ptrace::detach(task, None);
        detached.map_err(|errno| format!("task {task} cannot be let go: {errno}"))?;
    }
    Ok(())
}

/// Traces all threads of a process and tells them to stop; those that have ended are left out.
fn attach(process: i32, tasks: &mut Vec<Pid>) -> Result<(), String> {
    let cannot = |why: &dyn std::fmt::Display| format!("process {process} cannot be traced: {why}");
    let pinned = Process::pin(process).map_err(|error| cannot(&error))?;
    let threads = pinned.list("task").map_err(|error| cannot(&error))?;
    for thread in threads {
        let number = thread.to_string_lossy().parse().map(Pid::from_raw);
        let thread = number.map_err(|error| cannot(&error))?;
        match ptrace::seize(
            thread,
            Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL,
        ) {
            Ok(()) => {}
            Err(Errno::ESRCH) => continue,
            // A zombie, be it the first thread of a process that lives.
            Err(Errno::EPERM) if has_ended(thread) => continue,
            Err(errno) => return Err(cannot(&errno)),
        }
        ptrace::interrupt(thread).map_err(|errno| cannot(&errno))?;
        tasks.push(thread);
    }
    Ok(())
}

fn has_ended(task: Pid) -> bool {
    Process::pin(task.as_raw()).map_or(true, |task| task.has_ended())
}

/// Waits until a task has stopped as it was told to. Signals that come before are not delivered yet:
/// they wait until it goes on.
pub(super) fn wait_for_stop(task: Pid) -> Result<(), String> {
    match wait(task)? {
        WaitStatus::PtraceEvent(_, _, STOP) => Ok(()),
        other => Err(format!("task {task} does not stop: {other:?}")),
    }
}

/// Waits until a task has stopped at the border of a system call.
pub(super) fn wait_for_call(task: Pid) -> Result<(), String> {
    match wait(task)? {
        WaitStatus::PtraceSyscall(_) => Ok(()),
        other => Err(format!("task {task} does not call: {other:?}")),
    }
}

fn wait(task: Pid) -> Result<WaitStatus, String> {
    loop {
        match waitpid(task, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            // SIGSTOP cannot be kept waiting: it stops the task when that is let go.
            Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => {
                return Err(format!("task {task} is being stopped by a signal"));
            }
            result => return result.map_err(|errno| format!("task {task}: {errno}")),
        }
    }
}

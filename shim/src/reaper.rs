//! The one place that reaps. The shim is a child subreaper (prctl(2),
//! PR_SET_CHILD_SUBREAPER), so besides the runc commands that it starts, it gets the exits of
//! every container process whose parents are gone.
//!
//! Two races are closed by one lock, held across fork and across `waitpid`:
//! - a child that exits at once cannot be reaped before somebody waits for it;
//! - a container's init or exec, whose pid is known only after `runc` has returned, may exit
//!   before that: while a [`Window`] is open, exits that nobody waits for are kept.

use std::{
    collections::HashMap,
    io,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::signal::{self as signals, Signal};

/// How and when a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code, or 128 + the number of the signal that killed the process.
    pub(crate) status: u32,
    /// When it was reaped.
    pub(crate) at: SystemTime,
}

/// Why no exit can be waited for.
#[derive(Debug, Error)]
pub(crate) enum ReaperError {
    /// The pid is not (or no longer) a child of the shim.
    #[error(
        "process {pid} is not a child of the shim and no exit of it was seen; \
         was it reparented to another subreaper?"
    )]
    NotAChild {
        /// The process.
        pid: u32,
    },
    /// The process was reaped already, or was never awaited.
    #[error("process {pid} has already finished")]
    Finished {
        /// The process.
        pid: u32,
    },
    /// kill(2) failed.
    #[error("cannot send signal {signal} to process {pid}")]
    Kill {
        /// The process.
        pid: u32,
        /// The signal.
        signal: Signal,
        /// What kill(2) said.
        #[source]
        source: io::Error,
    },
}

/// A child whose exit will be delivered.
#[derive(Debug)]
pub(crate) struct Child {
    pid: u32,
    exit: oneshot::Receiver<Exit>,
}

impl Child {
    /// The pid, as the shim's pid namespace sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the child has been reaped.
    ///
    /// The sender lives in the reaper's table until it has sent, so a closed channel means that
    /// the reaper itself is gone, with the process; it is reported as a SIGKILL.
    pub(crate) async fn exited(self) -> Exit {
        self.exit.await.unwrap_or_else(|_| Exit {
            status: 128 + 9,
            at: SystemTime::now(),
        })
    }
}

#[derive(Debug, Default)]
struct Table {
    awaited: HashMap<u32, oneshot::Sender<Exit>>,
    unclaimed: HashMap<u32, Exit>,
    windows: usize,
}

/// Reaps every child and hands each exit to the one who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    table: Mutex<Table>,
}

impl Reaper {
    /// Installs the SIGCHLD handler and starts reaping; call it before anything is spawned.
    ///
    /// # Errors
    /// When the signal handler cannot be installed.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let reaper = Arc::new(Self::default());
        let mut children = signal(SignalKind::child())?;
        let task = Arc::clone(&reaper);
        tokio::spawn(async move {
            while children.recv().await.is_some() {
                task.reap();
            }
        });
        Ok(reaper)
    }

    /// Starts `command`; its exit cannot be missed.
    ///
    /// # Errors
    /// When fork or exec fails; nothing runs then.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut table = self.table();
        let pid = command.spawn()?.id();
        Ok(table.await_exit(pid))
    }

    /// Starts keeping the exits of processes that are not yet waited for.
    pub(crate) fn window(self: &Arc<Self>) -> Window {
        self.table().windows += 1;
        Window {
            reaper: Arc::clone(self),
        }
    }

    /// Sends `signal` to a process whose exit somebody waits for. As long as that is so the pid
    /// cannot have been recycled, because only [`Reaper`] reaps.
    ///
    /// # Errors
    /// [`ReaperError::Finished`] when it has been reaped, [`ReaperError::Kill`] from the kernel.
    pub(crate) fn kill(&self, pid: u32, signal: Signal) -> Result<(), ReaperError> {
        let table = self.table();
        if !table.awaited.contains_key(&pid) {
            return Err(ReaperError::Finished { pid });
        }
        signals::send(pid, signal).map_err(|source| ReaperError::Kill {
            pid,
            signal,
            source,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps all that have ended. Standard signals are not queued, so one SIGCHLD may stand for
    /// many exits.
    fn reap(&self) {
        loop {
            let mut table = self.table();
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => table.record(pid, status),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

impl Table {
    fn await_exit(&mut self, pid: u32) -> Child {
        let (sender, exit) = oneshot::channel();
        self.awaited.insert(pid, sender);
        Child { pid, exit }
    }

    fn record(&mut self, pid: Pid, status: WaitStatus) {
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        let Some(status) = exit_status(status) else {
            return;
        };
        let exit = Exit {
            status,
            at: SystemTime::now(),
        };
        match self.awaited.remove(&pid) {
            Some(waiter) => {
                // An abandoned waiter is one whose request was given up; nobody else wants it.
                let _ = waiter.send(exit);
            }
            None if self.windows > 0 => {
                self.unclaimed.insert(pid, exit);
            }
            None => {}
        }
    }
}

/// The exit status as containerd counts it; `None` for a stop or a continue.
fn exit_status(status: WaitStatus) -> Option<u32> {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .map(i32::unsigned_abs)
}

/// While it lives, no exit is lost; see the module.
#[derive(Debug)]
pub(crate) struct Window {
    reaper: Arc<Reaper>,
}

impl Window {
    /// Waits for `pid`, which became the shim's child while the window was open.
    ///
    /// A kept exit counts only if the kernel no longer knows a child of that pid: otherwise the
    /// number was recycled and the exit belongs to a process that is gone.
    ///
    /// # Errors
    /// [`ReaperError::NotAChild`] when it is neither running nor seen to exit.
    pub(crate) fn claim(&self, pid: u32) -> Result<Child, ReaperError> {
        let mut table = self.reaper.table();
        let kept = table.unclaimed.remove(&pid);
        if is_child(pid) {
            return Ok(table.await_exit(pid));
        }
        let exit = kept.ok_or(ReaperError::NotAChild { pid })?;
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(exit);
        Ok(Child {
            pid,
            exit: receiver,
        })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut table = self.reaper.table();
        table.windows = table.windows.saturating_sub(1);
        if table.windows == 0 {
            table.unclaimed.clear();
        }
    }
}

/// Whether the kernel has a child of that pid, running or not yet reaped.
fn is_child(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Command {
        Command::new("true")
    }

    /// Tests share a process, and `waitpid(-1)` takes everybody's children, so this is one test.
    #[tokio::test]
    async fn exits_are_delivered_once_and_to_the_right_one() {
        let reaper = Reaper::start().unwrap();

        let child = reaper
            .spawn(Command::new("sh").args(["-c", "exit 7"]))
            .unwrap();
        assert_eq!(child.exited().await.status, 7);

        let child = reaper.spawn(Command::new("sleep").arg("60")).unwrap();
        let pid = child.pid();
        reaper.kill(pid, Signal::new(34).unwrap()).unwrap();
        assert_eq!(child.exited().await.status, 128 + 34, "a real-time signal");
        assert!(matches!(
            reaper.kill(pid, Signal::new(9).unwrap()),
            Err(ReaperError::Finished { .. })
        ));

        // Not through the reaper: stands for a process that was reparented to the shim.
        let window = reaper.window();
        let pid = quick().spawn().unwrap().id();
        while is_child(pid) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(window.claim(pid).unwrap().exited().await.status, 0);
        assert!(window.claim(pid).is_err(), "an exit is claimed once");

        // An exit that was kept for a pid which now lives again is an old one.
        let living = Command::new("sleep").arg("60").spawn().unwrap().id();
        let stale = Exit {
            status: 99,
            at: SystemTime::now(),
        };
        reaper.table().unclaimed.insert(living, stale);
        let child = window.claim(living).unwrap();
        reaper.kill(living, Signal::new(15).unwrap()).unwrap();
        assert_eq!(child.exited().await.status, 128 + 15);

        reaper.table().unclaimed.insert(1, stale);
        drop(window);
        assert!(reaper.table().unclaimed.is_empty());

        assert!(reaper.spawn(&mut Command::new("/no/such/program")).is_err());
    }
}

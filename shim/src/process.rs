//! One process that containerd knows: a container's init, or an exec.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{
    io::{IoError, ProcessIo, Stdio},
    reaper::Exit,
};

/// The process, from its announcement to its deletion.
#[derive(Debug)]
pub(crate) struct Process {
    /// Empty for an init.
    pub(crate) exec_id: String,
    /// Its streams, as containerd asked for them.
    pub(crate) stdio: Stdio,
    live: Mutex<Live>,
    exit: watch::Sender<Option<Exit>>,
}

#[derive(Debug, Default)]
struct Live {
    /// 0 before it runs.
    pid: u32,
    starting: bool,
    stdin_closed: bool,
    io: Option<ProcessIo>,
}

impl Process {
    /// A process that does not run yet.
    pub(crate) fn new(exec_id: String, stdio: Stdio) -> Self {
        Self {
            exec_id,
            stdio,
            live: Mutex::default(),
            exit: watch::Sender::new(None),
        }
    }

    /// Its pid in the shim's pid namespace; 0 before it runs.
    pub(crate) fn pid(&self) -> u32 {
        self.live().pid
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Whether it was started and has not ended.
    pub(crate) fn runs(&self) -> bool {
        self.pid() != 0 && self.exit().is_none()
    }

    /// Waits for its end, from before its start too.
    pub(crate) async fn wait(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        loop {
            if let Some(exit) = *exit.borrow_and_update() {
                return exit;
            }
            // The sender is `self`, so this ends only with a change.
            let _ = exit.changed().await;
        }
    }

    /// Takes the right to start it; `false` if it was started, or somebody else is at it.
    pub(crate) fn claim_start(&self) -> bool {
        let mut live = self.live();
        let free = live.pid == 0 && !live.starting && self.exit().is_none();
        live.starting |= free;
        free
    }

    /// Gives the right back: the start failed.
    pub(crate) fn release_start(&self) {
        self.live().starting = false;
    }

    /// It runs.
    pub(crate) fn run(&self, pid: u32, mut io: ProcessIo) {
        let mut live = self.live();
        if live.stdin_closed {
            io.close_stdin();
        }
        live.pid = pid;
        live.starting = false;
        live.io = Some(io);
    }

    /// It has ended; who waits is told. The first end counts.
    pub(crate) fn finish(&self, exit: Exit) {
        self.exit.send_if_modified(|known| {
            let first = known.is_none();
            *known = known.or(Some(exit));
            first
        });
    }

    /// Lets it see the end of its input, now or as soon as it runs.
    pub(crate) fn close_stdin(&self) {
        let mut live = self.live();
        live.stdin_closed = true;
        if let Some(io) = &mut live.io {
            io.close_stdin();
        }
    }

    /// Sets the size of its terminal, in characters; without a terminal nothing happens.
    ///
    /// # Errors
    /// What the terminal says.
    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<(), IoError> {
        match self.live().io.as_ref().and_then(ProcessIo::console) {
            Some(console) => console.resize(width, height).map_err(IoError::Console),
            None => Ok(()),
        }
    }

    /// Delivers what is left of its output and closes its streams.
    pub(crate) async fn close_io(&self) {
        let io = self.live().io.take();
        if let Some(io) = io {
            io.finish().await;
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[tokio::test]
    async fn from_start_to_end() {
        let process = Process::new("e1".into(), Stdio::default());
        assert!(process.claim_start());
        assert!(!process.claim_start(), "once");
        process.release_start();
        assert!(process.claim_start());
        process.run(7, ProcessIo::default());
        assert!(process.runs());
        assert!(!process.claim_start());
        let exit = |status| Exit {
            status,
            at: SystemTime::UNIX_EPOCH,
        };
        process.finish(exit(3));
        process.finish(exit(4));
        assert_eq!(process.wait().await.status, 3);
        assert!(!process.runs());
        process.resize(1, 1).unwrap();
        process.close_io().await;
    }
}

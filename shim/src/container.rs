//! A container and its processes.

use std::{
    collections::HashMap,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32},
    },
    time::Duration,
};

use remap_engine::took::Took;
use serde_json::Value;

use crate::{
    bundle::Bundle,
    cgroup::Cgroup,
    error::TaskError,
    events,
    launch::Launched,
    oom::OomWatch,
    options::Options,
    process::Process,
    publisher::Publisher,
    reaper::{Child, Exit},
    runc::{Call, Runc},
    signal::Signal,
    status::{Machine, Op, Permit},
};

/// The container.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its id.
    pub(crate) id: String,
    /// Its bundle.
    pub(crate) bundle: Bundle,
    /// The options that it was created with.
    pub(crate) options: Options,
    /// The runtime, set up for it.
    pub(crate) runc: Runc,
    /// What start restores from.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Whether other processes may outlive its init.
    pub(crate) shares_pid_namespace: bool,
    /// How long its tasks may take to freeze; `None` for as long as they like.
    pub(crate) freeze_limit: Option<Duration>,
    /// It was paused, and nobody has asked for its state since. A checkpoint takes such a pause for
    /// its own client's.
    pub(crate) pause_unseen: AtomicBool,
    /// A pause of the paused container counts, since it moves together with others.
    pub(crate) pauses_nest: bool,
    /// How many pauses there are beside the first.
    pub(crate) further_pauses: AtomicU32,
    /// Its state.
    pub(crate) machine: Machine,
    /// Where its cgroup was when it began to run.
    pub(crate) first_cgroup: OnceLock<Cgroup>,
    /// What its last checkpoint and its restore took.
    pub(crate) took_last: Mutex<TookLast>,
    /// Its init.
    pub(crate) init: Process,
    /// Its other processes.
    pub(crate) execs: Mutex<HashMap<String, Arc<Exec>>>,
}

/// What the last operations on a container took.
#[derive(Clone, Debug, Default)]
pub(crate) struct TookLast {
    /// Its last checkpoint.
    pub(crate) checkpoint: Option<Took>,
    /// The restore that made it.
    pub(crate) restore: Option<Took>,
}

/// A process that was added to a container.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The process itself.
    pub(crate) process: Process,
    /// The OCI `process` object, as the client sent it.
    pub(crate) spec: Value,
}

/// Init or exec: what requests with an `exec_id` mean.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The container's init.
    Init(Arc<Container>),
    /// An exec.
    Exec(Arc<Exec>),
}

impl Target {
    /// The process that is meant.
    pub(crate) fn process(&self) -> &Process {
        match self {
            Self::Init(container) => &container.init,
            Self::Exec(exec) => &exec.process,
        }
    }
}

impl Container {
    /// What its last operations took.
    pub(crate) fn took_last(&self) -> MutexGuard<'_, TookLast> {
        self.took_last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that a request means; its `exec_id` is empty for the init.
    ///
    /// # Errors
    /// [`TaskError::NoProcess`].
    pub(crate) fn target(self: &Arc<Self>, exec_id: &str) -> Result<Target, TaskError> {
        if exec_id.is_empty() {
            Ok(Target::Init(Arc::clone(self)))
        } else {
            self.exec(exec_id).map(Target::Exec)
        }
    }

    /// An exec.
    ///
    /// # Errors
    /// [`TaskError::NoProcess`].
    pub(crate) fn exec(&self, exec_id: &str) -> Result<Arc<Exec>, TaskError> {
        let exec = self.execs().get(exec_id).map(Arc::clone);
        exec.ok_or_else(|| TaskError::NoProcess {
            id: self.id.clone(),
            exec_id: exec_id.to_owned(),
        })
    }

    /// All execs; the lock is for looking, not for waiting.
    pub(crate) fn execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its cgroup: that of its init, looked up anew each time, so that a restored container is found
    /// too, wherever CRIU has put it; or, of one that has ended, where it was. `None` before it runs.
    pub(crate) fn cgroup(&self) -> Option<Cgroup> {
        let of_init = self.init.runs().then(|| Cgroup::of(self.init.pid()).ok());
        of_init
            .flatten()
            .or_else(|| self.first_cgroup.get().cloned())
    }

    /// Begins `op`; see [`Machine::begin`].
    ///
    /// # Errors
    /// [`TaskError::Refused`].
    pub(crate) async fn begin(&self, op: Op) -> Result<Permit<'_>, TaskError> {
        self.machine
            .begin(op)
            .await
            .map_err(|refused| TaskError::Refused {
                id: self.id.clone(),
                refused,
            })
    }

    /// Init runs from now on: keeps its streams, and will make its exit known.
    pub(crate) fn init_runs(self: &Arc<Self>, launched: Launched, publisher: &Publisher) {
        let pid = launched.child.pid();
        if let Ok(cgroup) = Cgroup::of(pid) {
            let _ = self.first_cgroup.set(cgroup);
        }
        self.init.run(pid, launched.io);
        let watch = Arc::clone(self).watch_init(launched.child, publisher.clone());
        tokio::spawn(watch);
    }

    /// An exec runs from now on.
    pub(crate) fn exec_runs(
        self: &Arc<Self>,
        exec: &Arc<Exec>,
        launched: Launched,
        publisher: &Publisher,
    ) {
        let Launched { child, io } = launched;
        let pid = child.pid();
        exec.process.run(pid, io);
        publisher.publish(events::exec_started(&self.id, &exec.process.exec_id, pid));
        let (id, exec, publisher) = (self.id.clone(), Arc::clone(exec), publisher.clone());
        tokio::spawn(async move {
            let exit = child.exited().await;
            exec.process.finish(exit);
            publisher.publish(events::exited(&id, &exec.process.exec_id, pid, exit));
        });
    }

    /// Waits for init's end and makes it known, after the ends of all other processes: containerd
    /// takes the task for finished with it.
    async fn watch_init(self: Arc<Self>, init: Child, publisher: Publisher) {
        let pid = init.pid();
        let exit = self.note_oom_until(init, &publisher).await;
        self.machine.settle().await;
        if self.shares_pid_namespace {
            let kill = Call::Kill {
                signal: Signal::KILL,
                all: true,
            };
            if let Err(error) = self.runc.run(&kill).await {
                tracing::debug!(id = self.id, %error, "no process is left to kill");
            }
        }
        let execs: Vec<_> = self.execs().values().map(Arc::clone).collect();
        for exec in execs.iter().filter(|exec| exec.process.runs()) {
            exec.process.wait().await;
        }
        self.machine.stop();
        self.init.finish(exit);
        tracing::debug!(id = self.id, pid, status = exit.status, "init ended");
        publisher.publish(events::exited(&self.id, "", pid, exit));
    }

    /// Waits for init's end; what happens for lack of memory until then is made known.
    async fn note_oom_until(&self, init: Child, publisher: &Publisher) -> Exit {
        let pid = init.pid();
        let mut watch = OomWatch::of(pid)
            .inspect_err(|error| {
                tracing::warn!(id = self.id, %error, "no OOM event will be published");
            })
            .ok();
        let mut exited = pin!(init.exited());
        while let Some(oom) = &mut watch {
            tokio::select! {
                exit = &mut exited => {
                    // Most likely the reason.
                    if oom.has_happened() {
                        publisher.publish(events::out_of_memory(&self.id));
                    }
                    return exit;
                }
                happened = oom.happened() => match happened {
                    Ok(()) => publisher.publish(events::out_of_memory(&self.id)),
                    Err(error) => {
                        tracing::debug!(id = self.id, %error, "the watch for OOM events ends");
                        watch = None;
                    }
                },
            }
        }
        exited.await
    }
}

//! The states of a container and what may be done in each.
//!
//! Nobody holds a lock while runc works. An operation that changes the container puts it into a
//! state that says so ([`Status::Pausing`], [`Status::Checkpointing`], …) and leaves that when it
//! is done; meanwhile every reader sees the state at once, and another change waits or is refused,
//! as [`admit`] says.

use std::fmt;

use tokio::sync::watch;

/// The state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Created, or to be restored; its program does not run yet.
    Created,
    /// `runc start` or `runc restore` is under way.
    Starting,
    /// It runs.
    Running,
    /// Being frozen.
    Pausing,
    /// Frozen.
    Paused,
    /// Being thawed.
    Resuming,
    /// It runs, and is frozen for a moment to be looked at.
    Planning,
    /// Being dumped; afterwards it is as before.
    Checkpointing {
        /// It was frozen before.
        paused: bool,
    },
    /// Init has ended.
    Stopped,
    /// Being deleted.
    Deleting,
    /// Gone.
    Deleted,
}

impl Status {
    /// Whether something is under way that the Go shim has no state for.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(
            self,
            Self::Starting
                | Self::Pausing
                | Self::Resuming
                | Self::Planning
                | Self::Checkpointing { .. }
                | Self::Deleting
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Starting => "being started",
            Self::Running => "running",
            Self::Pausing => "being paused",
            Self::Paused => "paused",
            Self::Resuming => "being resumed",
            Self::Planning => "being looked at",
            Self::Checkpointing { .. } => "being checkpointed",
            Self::Stopped => "stopped",
            Self::Deleting => "being deleted",
            Self::Deleted => "deleted",
        })
    }
}

/// An operation that changes a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Start or restore.
    Start,
    /// Freeze.
    Pause,
    /// Thaw.
    Resume,
    /// Dump.
    Checkpoint,
    /// Look at what a dump would do.
    Plan {
        /// Freeze it meanwhile, if it runs.
        freeze: bool,
    },
    /// Delete.
    Delete,
    /// Add or start another process.
    Exec,
    /// Change limits.
    Update,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Checkpoint => "checkpoint",
            Self::Plan { .. } => "plan a checkpoint of",
            Self::Delete => "delete",
            Self::Exec => "exec in",
            Self::Update => "update",
        })
    }
}

/// The answer to the wish to do something in some state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// Go on alone, in this state meanwhile.
    Alone(Status),
    /// Go on, beside others that do not change the state.
    Beside,
    /// What is under way does not take long; wait for it, then ask again.
    Wait,
    /// Not in this state.
    Refuse,
}

/// What may be done when. While a container is being checkpointed whatever would disturb the dump
/// is refused at once and not kept waiting, because a dump can take minutes.
fn admit(status: Status, op: Op) -> Admission {
    use Admission::{Alone, Beside, Refuse, Wait};
    match (op, status) {
        (Op::Start, Status::Created) => Alone(Status::Starting),
        (Op::Pause, Status::Running) => Alone(Status::Pausing),
        (Op::Resume, Status::Paused) => Alone(Status::Resuming),
        (Op::Checkpoint, Status::Running) => Alone(Status::Checkpointing { paused: false }),
        (Op::Checkpoint, Status::Paused) => Alone(Status::Checkpointing { paused: true }),
        (Op::Plan { freeze: true }, Status::Running) => Alone(Status::Planning),
        (Op::Plan { .. }, Status::Running | Status::Paused) => Beside,
        (Op::Delete, Status::Created | Status::Stopped) => Alone(Status::Deleting),
        (Op::Exec, Status::Created | Status::Running) => Beside,
        (Op::Update, Status::Created | Status::Running | Status::Paused) => Beside,
        (Op::Start | Op::Delete, _) => Refuse,
        (_, Status::Starting | Status::Pausing | Status::Resuming | Status::Planning) => Wait,
        (Op::Pause | Op::Resume | Op::Checkpoint | Op::Plan { .. } | Op::Exec | Op::Update, _) => {
            Refuse
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    status: Status,
    /// How many operations run beside each other.
    beside: u32,
}

/// An operation that the container's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What was wished.
    pub(crate) op: Op,
    /// Why not.
    pub(crate) status: Status,
}

/// A container's state, with those who wait for it to change.
#[derive(Debug)]
pub(crate) struct Machine(watch::Sender<State>);

impl Machine {
    /// A container that has just been created.
    pub(crate) fn created() -> Self {
        Self(watch::Sender::new(State {
            status: Status::Created,
            beside: 0,
        }))
    }

    /// The state now.
    pub(crate) fn status(&self) -> Status {
        self.0.borrow().status
    }

    /// Begins `op`, when what is under way allows.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub(crate) async fn begin(&self, op: Op) -> Result<Permit<'_>, Refused> {
        let mut changes = self.0.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(answer) = self.try_begin(op) {
                return answer;
            }
            // The sender is `self`, so this ends only with a change.
            let _ = changes.changed().await;
        }
    }

    fn try_begin(&self, op: Op) -> Option<Result<Permit<'_>, Refused>> {
        let mut answer = None;
        self.0.send_if_modified(|state| {
            let from = state.status;
            let permit = |via| Permit {
                machine: self,
                from,
                via,
            };
            match admit(from, op) {
                // What runs beside has nothing to wait for, and is not long.
                Admission::Alone(_) if state.beside > 0 => {}
                Admission::Wait => {}
                Admission::Alone(via) => {
                    state.status = via;
                    answer = Some(Ok(permit(Some(via))));
                    return true;
                }
                Admission::Beside => {
                    state.beside += 1;
                    answer = Some(Ok(permit(None)));
                }
                Admission::Refuse => answer = Some(Err(Refused { op, status: from })),
            }
            false
        });
        answer
    }

    /// Init has ended. An exit during a start or a dump is made known after it: nobody may see a
    /// task end before it has started, or delete it while its images are being completed. What
    /// runs beside is waited for too: it may be about to add a process.
    pub(crate) async fn settle(&self) {
        let settled = |state: &State| {
            state.beside == 0
                && !matches!(
                    state.status,
                    Status::Starting | Status::Checkpointing { .. }
                )
        };
        let _ = self.0.subscribe().wait_for(settled).await;
    }

    /// Marks the container as stopped, unless it is already on its way out.
    pub(crate) fn stop(&self) {
        self.0.send_modify(|state| {
            if !matches!(state.status, Status::Deleting | Status::Deleted) {
                state.status = Status::Stopped;
            }
        });
    }
}

/// The right to perform an operation. Dropped, it puts the container back into the state before,
/// unless init ended meanwhile.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    machine: &'a Machine,
    from: Status,
    via: Option<Status>,
}

impl Permit<'_> {
    /// The state before the operation.
    pub(crate) fn before(&self) -> Status {
        self.from
    }

    /// The operation has succeeded; the container is in state `to` now, unless init ended
    /// meanwhile.
    pub(crate) fn commit(mut self, to: Status) {
        self.from = to;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let (via, to) = (self.via, self.from);
        self.machine.0.send_modify(|state| match via {
            Some(via) if state.status == via => state.status = to,
            Some(_) => {}
            None => state.beside = state.beside.saturating_sub(1),
        });
    }
}

#[cfg(test)]
mod tests;

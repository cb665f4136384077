//! Freezing a container: within a time limit, and with a name for what does not freeze.

mod control;
mod stuck;

use std::time::Duration;

use remap_engine::time_limit;
use thiserror::Error;
use tokio::time::{self, Instant};

pub(crate) use self::control::Control;
use self::stuck::Stuck;
use crate::{
    container::Container,
    runc::{CALLS, Call, RuncError},
};

/// The tasks run for so long between two attempts.
const BETWEEN: Duration = Duration::from_millis(100);

/// For so long it is tried to freeze tasks at a moment when none of them waits for a child of vfork(2),
/// with so long for the child to run its program.
const FOR_VFORK: Duration = Duration::from_secs(2);
const TO_SPAWN: Duration = Duration::from_millis(5);

/// A container cannot be frozen. Its tasks run.
#[derive(Debug, Error)]
pub(crate) enum FreezeError {
    /// Some tasks did not stop in time.
    #[error(
        "the container does not freeze within {} s, because of {stuck}; see to what they wait \
         for, or raise the limit with the annotation {}",
        limit.as_secs(), time_limit::FREEZE.annotation
    )]
    Stuck {
        /// The time that they had.
        limit: Duration,
        /// The tasks.
        stuck: Stuck,
    },
    /// runc failed for another reason.
    #[error(transparent)]
    Runc(#[from] RuncError),
}

/// Freezes all tasks of a container, within its limit. runc gives up after 0.2 s or more on cgroup
/// v1 and after 10 s on v2 (`cgroups/fs/freezer.go`, `fs2/freezer.go`); a task that waits for a slow
/// disk may need longer, so it is tried again until the limit is over. So it is if somebody kills runc.
///
/// Programs that run others again and again are frozen between two of them if possible: a task that
/// waits for a child of vfork(2) cannot be dumped.
///
/// # Errors
/// [`FreezeError`]; the tasks run.
pub(crate) async fn freeze(container: &Container) -> Result<(), FreezeError> {
    let begun = Instant::now();
    let control = Control::of(container.init.pid());
    let mut kills = 0;
    loop {
        let Err(source) = attempt(container, begun).await else {
            let may_wait =
                begun.elapsed() < container.freeze_limit.unwrap_or(FOR_VFORK).min(FOR_VFORK);
            if may_wait && control.is_in_vfork() && control.thaw().is_ok() {
                time::sleep(TO_SPAWN).await;
                continue;
            }
            return Ok(());
        };
        let stuck = control.who_is_stuck().await;
        kills += u32::from(source.was_killed());
        let again = source.is_slow_freeze() || (source.was_killed() && kills < CALLS);
        if stuck.is_empty() && !again {
            return Err(source.into());
        }
        tracing::debug!(id = container.id, %source, ?stuck, "not frozen yet");
        match container.freeze_limit {
            Some(limit) if begun.elapsed() >= limit && stuck.is_empty() => {
                return Err(source.into());
            }
            Some(limit) if begun.elapsed() >= limit => {
                return Err(FreezeError::Stuck {
                    limit,
                    stuck: Stuck(stuck),
                });
            }
            _ => time::sleep(BETWEEN).await,
        }
    }
}

/// Lets all tasks of a container run that was frozen. runc, which writes the same file
/// (`cgroups/fs/freezer.go`, `fs2/freezer.go`), is only asked if that does not help: to start it takes
/// longer than anything else here.
///
/// # Errors
/// The tasks stay frozen.
pub(crate) async fn thaw(container: &Container) -> Result<(), RuncError> {
    match Control::of(container.init.pid()).thaw_all().await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => tracing::debug!(%error, "cannot write the freezer's file"),
    }
    container.runc.resume().await
}

/// Lets the tasks of a container run that are to end: on cgroup v1 a frozen task does not. runc does so
/// itself when it kills (`Container.Signal`), crun does not.
pub(crate) fn let_end(container: &Container) {
    if let Err(error) = Control::of(container.init.pid()).thaw() {
        tracing::debug!(%error, "nothing is frozen, or the container has ended");
    }
}

/// Runs `runc pause` once. A runc that is still at it when the container's limit is over is killed.
async fn attempt(container: &Container, begun: Instant) -> Result<(), RuncError> {
    let pausing = container.runc.start(&Call::Pause)?;
    let pid = pausing.pid();
    let paused = pausing.output();
    tokio::pin!(paused);
    if let Some(limit) = container.freeze_limit {
        let left = limit.saturating_sub(begun.elapsed());
        if let Ok(result) = time::timeout(left, &mut paused).await {
            return result.map(drop);
        }
        if let Err(error) = container.runc.kill(pid) {
            tracing::debug!(%error, "runc ended before it was killed");
        }
    }
    paused.await.map(drop)
}

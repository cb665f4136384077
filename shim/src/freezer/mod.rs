//! Freezing a container: within a time limit, and with a name for what does not freeze.

mod control;
mod stuck;

use std::time::Duration;

use remap_engine::time_limit;
use thiserror::Error;
use tokio::time::{self, Instant};

use self::{control::Control, stuck::Stuck};
use crate::{
    container::Container,
    runc::{Call, RuncError},
};

/// How often is looked who is not frozen yet, while runc waits for that.
const LOOK: Duration = Duration::from_millis(20);

/// The tasks run for so long between two attempts.
const BETWEEN: Duration = Duration::from_millis(100);

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

/// Freezes all tasks of a container, within its limit. runc gives up after 0.2 s on cgroup v1 and
/// after 10 s on v2 (`cgroups/fs/freezer.go`, `fs2/freezer.go`); a task that waits for a slow disk
/// may need longer, so it is tried again until the limit is over.
///
/// # Errors
/// [`FreezeError`]; the tasks run.
pub(crate) async fn freeze(container: &Container) -> Result<(), FreezeError> {
    let begun = Instant::now();
    let control = Control::of(container.init.pid());
    let expired = |limit: &Duration| begun.elapsed() >= *limit;
    loop {
        let Err((source, stuck)) = attempt(container, &control, begun).await else {
            return Ok(());
        };
        control.thaw();
        if !stuck.is_known() {
            return Err(source.into());
        }
        if let Some(limit) = container.freeze_limit.filter(expired) {
            return Err(FreezeError::Stuck { limit, stuck });
        }
        tracing::debug!(id = container.id, %stuck, "not frozen yet");
        time::sleep(BETWEEN).await;
    }
}

/// Runs `runc pause` once, and watches the tasks meanwhile. A runc that is still at it when the
/// container's limit is over is killed.
async fn attempt(
    container: &Container,
    control: &Control,
    begun: Instant,
) -> Result<(), (RuncError, Stuck)> {
    let mut stuck = Stuck::default();
    let pausing = match container.runc.start(&Call::Pause) {
        Ok(pausing) => pausing,
        Err(error) => return Err((error, stuck)),
    };
    let pid = pausing.pid();
    let paused = pausing.output();
    tokio::pin!(paused);
    let mut looks = time::interval(LOOK);
    loop {
        tokio::select! {
            biased;
            result = &mut paused => return result.map(drop).map_err(|error| (error, stuck)),
            _ = looks.tick() => {}
        }
        if let Some(tasks) = control.unfrozen() {
            stuck.look(tasks);
        }
        if container
            .freeze_limit
            .is_some_and(|limit| begun.elapsed() >= limit)
            && let Err(error) = container.runc.kill(pid)
        {
            tracing::debug!(%error, "runc ended before it was killed");
        }
    }
}

//! Pause and resume.

use std::sync::{Arc, atomic::Ordering};

use containerd_shim_protos::api::{Empty, PauseRequest, ResumeRequest};

use crate::{
    container::Container,
    error::TaskError,
    events, freezer,
    shim::Shim,
    status::{Op, Status},
};

/// Freezes a container.
///
/// One that moves together with others stays frozen until all of them are saved, while clients pause
/// it once more for its own checkpoint and resume it after that (`ctr c checkpoint`): there each pause
/// takes a resume.
///
/// # Errors
/// [`TaskError`]; it runs on then.
pub(super) async fn pause(shim: Arc<Shim>, request: PauseRequest) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    if container.pauses_nest && container.machine.status() == Status::Paused {
        container.further_pauses.fetch_add(1, Ordering::SeqCst);
        container.pause_unseen.store(true, Ordering::SeqCst);
        return Ok(Empty::new());
    }
    let permit = container.begin(Op::Pause).await?;
    freezer::freeze(&container).await?;
    container.pause_unseen.store(true, Ordering::SeqCst);
    // Whatever happens to it from then on is told after this.
    shim.publisher.publish(events::paused(&container.id));
    permit.commit(Status::Paused);
    Ok(Empty::new())
}

/// Thaws a container.
///
/// # Errors
/// [`TaskError`]; it stays frozen then.
pub(super) async fn resume(shim: Arc<Shim>, request: ResumeRequest) -> Result<Empty, TaskError> {
    thaw(&shim, &*shim.container(&request.id)?).await?;
    Ok(Empty::new())
}

/// The same, whoever wants it.
pub(super) async fn thaw(shim: &Shim, container: &Container) -> Result<(), TaskError> {
    let one_less = |pauses: u32| pauses.checked_sub(1);
    let further = &container.further_pauses;
    if further
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
    {
        return Ok(());
    }
    let permit = container.begin(Op::Resume).await?;
    let resumed = container.runc.resume().await;
    resumed.map_err(|source| TaskError::Runc {
        action: "resume",
        source,
    })?;
    // An exit that came meanwhile is told after this.
    shim.publisher.publish(events::resumed(&container.id));
    permit.commit(Status::Running);
    Ok(())
}

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
/// # Errors
/// [`TaskError`]; it runs on then.
pub(super) async fn pause(shim: Arc<Shim>, request: PauseRequest) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    let permit = container.begin(Op::Pause).await?;
    freezer::freeze(&container).await?;
    container.pause_unseen.store(true, Ordering::SeqCst);
    permit.commit(Status::Paused);
    shim.publisher.publish(events::paused(&container.id));
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
    let permit = container.begin(Op::Resume).await?;
    let resumed = container.runc.resume().await;
    resumed.map_err(|source| TaskError::Runc {
        action: "resume",
        source,
    })?;
    permit.commit(Status::Running);
    shim.publisher.publish(events::resumed(&container.id));
    Ok(())
}

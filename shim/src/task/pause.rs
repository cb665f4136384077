//! Pause and resume.

use std::sync::Arc;

use containerd_shim_protos::api::{Empty, PauseRequest, ResumeRequest};

use crate::{
    container::Container,
    error::TaskError,
    events,
    runc::Call,
    shim::Shim,
    status::{Op, Status},
};

/// Freezes a container.
///
/// # Errors
/// [`TaskError`]; it runs on then.
pub(super) async fn pause(shim: Arc<Shim>, request: PauseRequest) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    change(&container, Op::Pause, &Call::Pause, Status::Paused).await?;
    shim.publisher.publish(events::paused(&container.id));
    Ok(Empty::new())
}

/// Thaws a container.
///
/// # Errors
/// [`TaskError`]; it stays frozen then.
pub(super) async fn resume(shim: Arc<Shim>, request: ResumeRequest) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    change(&container, Op::Resume, &Call::Resume, Status::Running).await?;
    shim.publisher.publish(events::resumed(&container.id));
    Ok(Empty::new())
}

async fn change(container: &Container, op: Op, call: &Call, to: Status) -> Result<(), TaskError> {
    let permit = container.begin(op).await?;
    container
        .runc
        .run(call)
        .await
        .map_err(|source| TaskError::Runc {
            action: call.name(),
            source,
        })?;
    permit.commit(to);
    Ok(())
}

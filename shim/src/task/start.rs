//! Start: of a container (or its restore), or of an exec.

use std::sync::Arc;

use containerd_shim_protos::api::{StartRequest, StartResponse};

use super::{exec, restore};
use crate::{
    container::Container,
    error::TaskError,
    events,
    runc::Call,
    shim::Shim,
    status::{Op, Status},
};

/// Starts what the request means.
///
/// # Errors
/// [`TaskError`]; it can be started again then, or deleted.
pub(super) async fn start(
    shim: Arc<Shim>,
    request: StartRequest,
) -> Result<StartResponse, TaskError> {
    let container = shim.container(&request.id)?;
    let pid = if request.exec_id.is_empty() {
        start_init(&shim, &container).await?
    } else {
        exec::start(&shim, &container, &request.exec_id).await?
    };
    Ok(StartResponse {
        pid,
        ..StartResponse::default()
    })
}

async fn start_init(shim: &Arc<Shim>, container: &Arc<Container>) -> Result<u32, TaskError> {
    let permit = container.begin(Op::Start).await?;
    match &container.checkpoint {
        Some(images) => restore::restore(shim, container, images).await?,
        None => {
            container
                .runc
                .run(&Call::Start)
                .await
                .map_err(|source| TaskError::Runc {
                    action: "start",
                    source,
                })?;
        }
    }
    let pid = container.init.pid();
    tracing::info!(id = container.id, pid, "started");
    shim.publisher.publish(events::started(&container.id, pid));
    // Only now may an exit be made known.
    permit.commit(Status::Running);
    Ok(pid)
}

//! Stats: the figures of a container's cgroup.

use std::sync::Arc;

use containerd_shim_protos::{
    api::{StatsRequest, StatsResponse},
    protobuf::MessageField,
};

use crate::{error::TaskError, shim::Shim, stats};

/// Reads them.
///
/// # Errors
/// [`TaskError::NotRunning`] for a container that never had processes, [`TaskError::Stats`].
pub(super) async fn stats(
    shim: Arc<Shim>,
    request: StatsRequest,
) -> Result<StatsResponse, TaskError> {
    let container = shim.container(&request.id)?;
    let Some(cgroup) = container.cgroup() else {
        return Err(TaskError::NotRunning { id: request.id });
    };
    let figures = stats::read(&cgroup).map_err(|source| TaskError::Stats {
        id: request.id,
        source,
    })?;
    Ok(StatsResponse {
        stats: MessageField::some(figures),
        ..StatsResponse::default()
    })
}

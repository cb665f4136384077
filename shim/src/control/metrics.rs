//! Metrics: says what the last checkpoint and the restore of a container took.

use std::sync::Arc;

use remap_control::{
    measured::{Measured, VERSION},
    message::MetricsRequest,
};

use crate::{error::TaskError, shim::Shim};

/// The document about a container, in whatever state it is.
///
/// # Errors
/// [`TaskError::NoContainer`].
pub(super) fn metrics(shim: &Arc<Shim>, request: &MetricsRequest) -> Result<Vec<u8>, TaskError> {
    let container = shim.container(&request.id)?;
    let took = container.took_last().clone();
    let document = Measured {
        version: VERSION,
        id: container.id.clone(),
        namespace: shim.namespace.clone(),
        checkpoint: took.checkpoint,
        restore: took.restore,
    };
    serde_json::to_vec_pretty(&document).map_err(TaskError::Encode)
}

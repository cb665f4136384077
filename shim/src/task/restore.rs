//! Restore: what start does for a container that was created from a checkpoint.

use std::{path::Path, sync::Arc};

use crate::{container::Container, engine, error::TaskError, shim::Shim};

/// Restores the container from `images`; its init runs afterwards. On failure the container is
/// as created, and can be deleted.
///
/// # Errors
/// [`TaskError::Engine`] names the phase and the cause.
pub(super) async fn restore(
    shim: &Arc<Shim>,
    container: &Arc<Container>,
    images: &Path,
) -> Result<(), TaskError> {
    let work_path = match container.options.criu_work_path.as_str() {
        "" => container.bundle.work(),
        path => path.into(),
    };
    let launched = engine::bring_back(shim, container, images.to_owned(), work_path).await?;
    container.init_runs(launched, &shim.publisher);
    Ok(())
}

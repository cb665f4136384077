//! Sees to it that a container whose dump failed is not cut off.

use super::FrozenTasks;
use crate::network_lock::LockedNetwork;

/// Takes back the network lock of a CRIU that was killed; one that has failed has done so itself.
pub(super) fn unlock(tasks: &FrozenTasks) {
    match LockedNetwork::of(&tasks.init) {
        Ok(Some(network)) => unlock_namespace(&network),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "the container has ended, and needs no network"),
    }
}

/// The same for a namespace that is known.
pub(super) fn unlock_namespace(network: &LockedNetwork) {
    match network.unlock() {
        Ok(true) => tracing::info!("removed the network lock of a CRIU that was killed"),
        Ok(false) => {}
        Err(error) => tracing::error!(error = crate::phase::report(&error), "no network"),
    }
}

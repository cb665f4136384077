//! Sees to it that nobody is cut off by a restore that has failed.

use std::path::Path;

use crate::network_lock::LockedNetwork;
use crate::phase::report;

/// Removes CRIU's lock of the network into which the container of `bundle` was to come, if that goes on
/// without it.
pub(super) fn unlock(bundle: &Path) {
    let network = match LockedNetwork::of_bundle(bundle) {
        Ok(Some(network)) => network,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(%error, "there is no network that could be cut off");
            return;
        }
    };
    match network.unlock() {
        Ok(true) => tracing::info!("removed the network lock of a CRIU that has failed"),
        Ok(false) => {}
        Err(error) => tracing::error!(error = report(&error), "the network is cut off"),
    }
}

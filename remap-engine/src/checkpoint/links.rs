//! Sees to it that no name of CRIU's stays on the source.

use super::FrozenTasks;
use crate::link_remap::LinkRemaps;
use crate::plan::RemapPlan;

/// Dropping it removes the names that the dump has left: those of one that ended the tasks (they
/// are in the checkpoint by then), and those of a CRIU that was killed.
pub(super) struct Links(LinkRemaps);

impl Links {
    /// Removes what an earlier dump has left, which would make this one fail.
    pub(super) fn clear(tasks: &FrozenTasks, plan: &RemapPlan) -> Self {
        let links = Self(LinkRemaps::locate(&tasks.init, plan));
        links.remove();
        links
    }

    fn remove(&self) {
        match self.0.remove() {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed names link_remap.* of a dump"),
            Err(error) => {
                tracing::error!(%error, "names link_remap.* of a dump stay: remove them by hand");
            }
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.remove();
    }
}

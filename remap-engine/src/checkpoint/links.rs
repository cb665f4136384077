//! Sees to it that no name of CRIU's stays on the source.

use std::io;
use std::path::PathBuf;

use super::FrozenTasks;
use crate::link_remap::LinkRemaps;
use crate::plan::RemapPlan;
use crate::private;
use crate::process::Process;
use crate::workdir::WorkDir;

/// Dropping it removes the names that the dump has left: those of one that ended the tasks (they
/// are in the checkpoint by then), and those of a CRIU that was killed.
///
/// Meanwhile the plan lies in the bundle, for whoever comes after a process that was killed.
pub(super) struct Links {
    places: LinkRemaps,
    plan: PathBuf,
}

impl Links {
    /// Removes what an earlier dump has left, which would make this one fail.
    pub(super) fn clear(tasks: &FrozenTasks, plan: &RemapPlan, work: &WorkDir) -> Self {
        let links = Self {
            places: LinkRemaps::locate(&tasks.init, plan),
            plan: work.dump_plan(),
        };
        links.remove();
        let written = serde_json::to_vec(plan)
            .map_err(io::Error::from)
            .and_then(|text| private::write(&links.plan, &text));
        if let Err(error) = written {
            tracing::warn!(%error, "were the shim killed now, names link_remap.* would stay");
        }
        links
    }

    /// Those of a dump that was under way when its process was killed; `None` if it had not begun.
    /// Without init, the container has ended.
    pub(super) fn left(init: Option<&Process>, work: &WorkDir) -> Option<Self> {
        let plan = work.dump_plan();
        let read =
            || -> io::Result<RemapPlan> { Ok(serde_json::from_slice(&std::fs::read(&plan)?)?) };
        let places = read()
            .inspect_err(|error| tracing::debug!(%error, "the dump had not begun"))
            .map(|plan| LinkRemaps::locate_left(init, &plan));
        Some(Self {
            places: places.ok()?,
            plan,
        })
    }

    fn remove(&self) {
        match self.places.remove() {
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
        if let Err(error) = private::remove_if_exists(&self.plan) {
            tracing::warn!(%error, "the plan of a dump stays in the bundle");
        }
    }
}

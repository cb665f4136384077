//! A container whose tasks are frozen: what can be done with it, whoever froze it.

use std::path::Path;

use super::seal::{Facts, seal};
use crate::bundle::Bundle;
use crate::contents::{CapturedMount, CarriedMounts};
use crate::ghosts::{GhostFile, Ghosts};
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::RemapPlan;
use crate::process::Process;
use crate::scan::{self, Scan, ScanError};

/// A container whose tasks are frozen.
#[derive(Debug)]
pub struct FrozenTasks {
    /// Its bundle.
    pub bundle: Bundle,
    /// Its init.
    pub init: Process,
}

impl FrozenTasks {
    /// Looks at the tasks; [`crate::plan::plan`] decides.
    ///
    /// # Errors
    /// `/proc` cannot be read. Nothing is changed.
    pub fn scan(&self) -> Result<Scan, ScanError> {
        scan::scan(&self.bundle, self.init.pid())
    }

    /// Finds the names of the files that go into the images by policy, before CRIU makes names of
    /// its own.
    ///
    /// # Errors
    /// Phase plan: a mount cannot be read. Nothing is changed.
    pub fn ghosts(&self, plan: &RemapPlan) -> Result<Ghosts, PhaseError> {
        Phase::Plan.run(|| Ghosts::find(&self.init, plan))
    }

    /// Saves all that cannot wait until the tasks run again: the contents of the mounts, and those
    /// of files that go into the images. CRIU is held.
    ///
    /// # Errors
    /// Phase capture; what was written stays in `image_dir`.
    pub(super) fn capture(
        &self,
        mounts: &CarriedMounts,
        ghosts: &Ghosts,
        image_dir: &Path,
    ) -> Result<Saved, PhaseError> {
        Phase::Capture.run(|| -> Result<Saved, BoxError> {
            Ok(Saved {
                mounts: mounts.capture(image_dir)?,
                ghosts: ghosts.capture(&self.init, image_dir)?,
            })
        })
    }

    /// Before they are frozen: see [`scan::freshen_names`]. The scan looks anyway.
    pub(super) fn freshen_names(&self) {
        if let Err(error) = scan::freshen_names(self.init.pid()) {
            tracing::debug!(%error, "names were not looked at before the freeze");
        }
    }

    /// Opens the mounts whose contents are to be saved.
    ///
    /// # Errors
    /// Phase plan: one of them cannot be read. Nothing is changed.
    pub fn open(&self, plan: &RemapPlan) -> Result<CarriedMounts, PhaseError> {
        Phase::Plan.run(|| CarriedMounts::open(&self.init, plan))
    }
}

/// What a checkpoint has beside CRIU's own.
#[derive(Debug, Default)]
pub struct Saved {
    /// The contents of mounts.
    pub mounts: Vec<CapturedMount>,
    /// Files that are in the images by policy.
    pub ghosts: Vec<GhostFile>,
}

/// Makes a checkpoint of the images that CRIU has finished in `image_dir`, for tasks that are still
/// frozen or have ended: saves the contents of the carried mounts and the ghosts, holds everything
/// against the plan, and writes the manifest.
///
/// # Errors
/// Phase capture, reconcile or seal; what was written stays in `image_dir`, without a manifest.
pub fn complete(
    tasks: &FrozenTasks,
    plan: &RemapPlan,
    mounts: &CarriedMounts,
    ghosts: &Ghosts,
    image_dir: &Path,
    facts: &Facts,
) -> Result<(), PhaseError> {
    let saved = tasks.capture(mounts, ghosts, image_dir)?;
    seal(plan, &saved, image_dir, facts)
}

//! A container whose tasks are frozen: what can be done with it, whoever froze it.

use std::path::Path;

use super::seal::{Facts, seal};
use crate::bundle::Bundle;
use crate::contents::CarriedMounts;
use crate::phase::{Phase, PhaseError};
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

    /// Opens the mounts whose contents are to be saved.
    ///
    /// # Errors
    /// Phase plan: one of them cannot be read. Nothing is changed.
    pub fn open(&self, plan: &RemapPlan) -> Result<CarriedMounts, PhaseError> {
        Phase::Plan.run(|| CarriedMounts::open(&self.init, plan))
    }
}

/// Makes a checkpoint of the images that CRIU has finished in `image_dir`, for tasks that are still
/// frozen or have ended: saves the contents of the carried mounts, holds everything against the
/// plan, and writes the manifest.
///
/// # Errors
/// Phase capture, reconcile or seal; what was written stays in `image_dir`, without a manifest.
pub fn complete(
    plan: &RemapPlan,
    mounts: &CarriedMounts,
    image_dir: &Path,
    facts: &Facts,
) -> Result<(), PhaseError> {
    let captured = Phase::Capture.run(|| mounts.capture(image_dir))?;
    seal(plan, &captured, image_dir, facts)
}

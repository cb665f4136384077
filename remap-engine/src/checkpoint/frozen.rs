//! A container whose tasks are frozen: what can be done with it, whoever froze it.

use std::path::Path;

use super::seal::{Facts, seal};
use crate::bundle::Bundle;
use crate::contents::{self, CapturedMount};
use crate::phase::{Phase, PhaseError};
use crate::plan::{self, RemapPlan};
use crate::process::Process;
use crate::scan;

/// A container whose tasks are frozen.
#[derive(Debug)]
pub struct FrozenTasks {
    /// Its bundle.
    pub bundle: Bundle,
    /// Its init.
    pub init: Process,
}

impl FrozenTasks {
    /// Looks at the tasks and decides.
    ///
    /// # Errors
    /// Phase scan: `/proc` cannot be read. Nothing is changed.
    pub fn plan(&self) -> Result<RemapPlan, PhaseError> {
        let scan = Phase::Scan.run(|| scan::scan(&self.bundle, self.init.pid()))?;
        Ok(plan::plan(&scan, |one| scan::name_state(&self.init, one)))
    }

    /// Saves the contents of the carried mounts beside finished images.
    ///
    /// # Errors
    /// Phase capture; archives that were made stay in `image_dir`.
    pub fn capture(
        &self,
        plan: &RemapPlan,
        image_dir: &Path,
    ) -> Result<Vec<CapturedMount>, PhaseError> {
        Phase::Capture.run(|| contents::capture(&self.init, &plan.map, image_dir))
    }

    /// Makes a checkpoint of the images that CRIU has finished in `image_dir`: saves the contents of
    /// the carried mounts, holds everything against the plan, and writes the manifest.
    ///
    /// # Errors
    /// Phase capture, reconcile or seal; what was written stays in `image_dir`, without a manifest.
    pub fn complete(
        &self,
        plan: &RemapPlan,
        image_dir: &Path,
        facts: &Facts,
    ) -> Result<Vec<CapturedMount>, PhaseError> {
        let captured = self.capture(plan, image_dir)?;
        seal(plan, &captured, image_dir, facts)?;
        Ok(captured)
    }
}

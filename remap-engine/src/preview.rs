//! The preview of a checkpoint: what it would do and what would forbid it, by the same decisions as
//! the checkpoint's own, with nothing changed.

mod contents;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::carry_limit;
use crate::contents::{CarriedMounts, MeasuredMount};
use crate::manifest::DumpOptions;
use crate::ownership::Bystanders;
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::{self, Refusal, RemapPlan};
use crate::process::Process;
use crate::scan;
use crate::terms::Terms;

pub use self::contents::CarriedContents;

/// How often a running container is looked at before a refusal is believed: a file that is just
/// being replaced can look like one that cannot be carried.
const LOOKS: u32 = 3;

/// Whether the tasks may do something while they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    /// Frozen: nothing of theirs vanishes.
    Frozen,
    /// They run: what vanishes is left out.
    Running,
}

/// A checkpoint that is only thought about.
#[derive(Debug)]
pub struct Preview {
    terms: Terms,
    init: Process,
}

/// What a checkpoint would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// What forbids it; empty if it would work.
    pub refusals: Vec<Refusal>,
    /// What does not forbid it, and should be known.
    pub warnings: Vec<String>,
    /// The contents that would be carried, as they are now.
    pub carried: Vec<CarriedContents>,
    /// The decisions.
    pub plan: RemapPlan,
}

impl Preview {
    /// Of a checkpoint of the container with this bundle and this init, asked for as given.
    /// `versions` has that of CRIU, if it is known.
    ///
    /// # Errors
    /// Phase prepare: the bundle or the configuration cannot be read, or init is gone.
    pub fn new(
        bundle: &Path,
        init: i32,
        exit: bool,
        options: &DumpOptions,
        versions: &BTreeMap<String, String>,
    ) -> Result<Self, PhaseError> {
        Phase::Prepare.run(|| -> Result<Self, BoxError> {
            Ok(Self {
                terms: Terms::load(bundle, exit, options, versions)?,
                init: Process::pin(init)?,
            })
        })
    }

    /// Looks at the tasks and decides. A running container is looked at again if something would
    /// be refused.
    ///
    /// # Errors
    /// Phase scan: init has ended, or `/proc` cannot be read.
    pub fn plan(&self, tasks: Tasks) -> Result<RemapPlan, PhaseError> {
        let mut plan = self.look(tasks)?;
        for _ in 1..LOOKS {
            if tasks == Tasks::Frozen || plan.refusals(&self.terms.intent).is_empty() {
                break;
            }
            plan = self.look(tasks)?;
        }
        Ok(plan)
    }

    fn look(&self, tasks: Tasks) -> Result<RemapPlan, PhaseError> {
        let (bundle, init) = (&self.terms.bundle, self.init.pid());
        let scan = Phase::Scan.run(|| match tasks {
            Tasks::Frozen => scan::scan(bundle, init, &Bystanders::default()),
            Tasks::Running => scan::scan_running(bundle, init),
        })?;
        Ok(plan::plan(&scan))
    }

    /// Says what the plan means, and measures what would be carried. The tasks may run.
    ///
    /// # Errors
    /// Phase plan: a carried mount cannot be read.
    pub fn judge(&self, plan: RemapPlan) -> Result<Forecast, PhaseError> {
        let measure = || CarriedMounts::open(&self.init, &plan)?.measure();
        let (carried, split) = Phase::Plan.run(measure)?;
        let mut refusals = self.terms.refusals();
        refusals.extend(plan.refusals(&self.terms.intent));
        refusals.extend(split.map(|split| split.refusal()));
        let ghosted = plan.ghosted_bytes();
        refusals.extend(carry_limit::refusals(
            &self.terms.intent.policy,
            &carried,
            ghosted,
        ));
        let mut warnings = plan.warnings(&self.terms.intent);
        warnings.extend(carried.iter().filter_map(MeasuredMount::tell_of_sockets));
        Ok(Forecast {
            refusals,
            warnings,
            carried: carried.into_iter().map(CarriedContents::from).collect(),
            plan,
        })
    }
}

#[cfg(test)]
mod tests;

//! A container whose tasks are frozen: what can be done with it, whoever froze it.

use std::path::Path;

use crate::bundle::Bundle;
use crate::contents::{CapturedMount, CarriedMounts};
use crate::criu::files;
use crate::detour;
use crate::ghosts::{GhostFile, Ghosts};
use crate::linked::{self, LinkedFile};
use crate::ownership::Bystanders;
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::RemapPlan;
use crate::process::Process;
use crate::scan::{self, Scan, ScanError};
use crate::socket_names;
use crate::together::Circle;

/// A container whose tasks are frozen.
#[derive(Debug)]
pub struct FrozenTasks {
    /// Its bundle.
    pub bundle: Bundle,
    /// Its init.
    pub init: Process,
}

impl FrozenTasks {
    /// Looks at the tasks, and at others but the `bystanders`; [`crate::plan::plan`] decides.
    ///
    /// # Errors
    /// `/proc` cannot be read. Nothing is changed.
    pub fn scan(&self, bystanders: &Bystanders) -> Result<Scan, ScanError> {
        scan::scan(&self.bundle, self.init.pid(), bystanders)
    }

    /// Finds the names of the files that go into the images by policy, before CRIU makes names of
    /// its own.
    ///
    /// # Errors
    /// Phase plan: a mount cannot be read. Nothing is changed.
    pub fn ghosts(&self, plan: &RemapPlan) -> Result<Ghosts, PhaseError> {
        Phase::Plan.run(|| Ghosts::find(&self.init, plan))
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
    /// Names that a restore has to make.
    pub links: Vec<LinkedFile>,
}

/// What is to be saved while CRIU is held.
pub(super) struct Contents<'p> {
    pub(super) tasks: &'p FrozenTasks,
    pub(super) plan: &'p RemapPlan,
    pub(super) mounts: &'p CarriedMounts,
    pub(super) ghosts: &'p Ghosts,
    /// Those that stand still beside the container.
    pub(super) circle: Option<&'p Circle>,
}

impl Contents<'_> {
    /// Saves all that cannot wait until the tasks run again: the contents of the mounts, and those
    /// of files that go into the images; and makes sure that others have stood still until then.
    ///
    /// # Errors
    /// Phase capture; what was written stays in `image_dir`.
    pub(super) fn capture(&self, image_dir: &Path) -> Result<Saved, PhaseError> {
        Phase::Capture.run(|| -> Result<Saved, BoxError> {
            let (init, plan) = (&self.tasks.init, self.plan);
            let mounts = self.mounts.capture(image_dir)?;
            let mut files = match self.concerns_images() {
                true => files::read(image_dir)?,
                false => Vec::new(),
            };
            let mut ghosts = self.ghosts.capture(init, image_dir, &mut files)?;
            let links = linked::find(init, plan, &files)?;
            detour::give(init, plan, image_dir, &files, &mut ghosts)?;
            socket_names::give(plan, image_dir)?;
            self.circle.map_or(Ok(()), Circle::confirm)?;
            Ok(Saved {
                mounts,
                ghosts,
                links,
            })
        })
    }

    /// Whether CRIU's images are to be changed, or have something to tell.
    fn concerns_images(&self) -> bool {
        self.ghosts.are_wanted() || linked::are_wanted(self.plan) || detour::are_wanted(self.plan)
    }
}

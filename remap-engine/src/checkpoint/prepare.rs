//! What happens before the tasks are frozen.

use std::collections::HashSet;
use std::time::Duration;

use super::{CheckpointRequest, Facts, FrozenTasks};
use crate::carry_limit;
use crate::criu::config::UserConfig;
use crate::image_dir::ImageDir;
use crate::intent::Intent;
use crate::mountinfo::Device;
use crate::mountmap::{HostMounts, MountMap};
use crate::ownership::{self, Bystanders};
use crate::phase::BoxError;
use crate::plan::{self, Refusal, RemapPlan};
use crate::private;
use crate::process::Process;
use crate::scan::Scan;
use crate::terms::Terms;
use crate::time_limit;
use crate::tmpfs_lock::TmpfsLocks;
use crate::together::Circle;
use crate::workdir::WorkDir;

/// What is known and made before the tasks are frozen. Dropping it removes the images, unless they
/// are kept.
pub(super) struct Prepared {
    /// The container.
    pub(super) tasks: FrozenTasks,
    /// Where the images go.
    pub(super) images: ImageDir,
    /// What the manifest records: the options of every source.
    pub(super) facts: Facts,
    /// What the user configured for CRIU.
    pub(super) user_config: UserConfig,
    /// What the checkpoint is to do.
    pub(super) intent: Intent,
    /// How long the dump may take; `None` for as long as it likes.
    pub(super) limit: Option<Duration>,
    /// The engine's directory in the bundle.
    pub(super) work: WorkDir,
}

impl Prepared {
    /// Reads the bundle and makes the image directory.
    ///
    /// # Errors
    /// Nothing that was made stays.
    pub(super) fn new(request: &CheckpointRequest) -> Result<Self, BoxError> {
        let facts = &request.facts;
        let terms = Terms::load(
            &request.bundle,
            request.exit,
            &facts.options,
            &facts.versions,
        )?;
        refuse(terms.refusals())?;
        let Terms {
            bundle,
            user_config,
            intent,
        } = terms;
        let limit = time_limit::DUMP.of(&bundle)?;
        let work = WorkDir::of(&request.bundle);
        private::create_dir(work.path())?;
        let init = Process::pin(request.init_pid)?;
        let facts = Facts {
            options: intent.options.clone(),
            ..facts.clone()
        };
        Ok(Self {
            tasks: FrozenTasks { bundle, init },
            images: ImageDir::prepare(&request.image_dir, &work.checkpoint_journal())?,
            facts,
            user_config,
            intent,
            limit,
            work,
        })
    }

    /// Waits until no other dump or restore is under way on a tmpfs of which something may be
    /// carried.
    ///
    /// # Errors
    /// One is, for longer than this dump may take; or the mounts cannot be read.
    pub(super) fn lock(&self) -> Result<TmpfsLocks, BoxError> {
        let devices = self.devices(&HostMounts::look()?)?;
        let holder = self.tasks.bundle.path.display().to_string();
        let limit = (self.limit, &time_limit::DUMP);
        Ok(TmpfsLocks::take(devices, &holder, limit)?)
    }

    /// Looks, before the tasks are frozen, at what would take long then: at names that only look
    /// deleted, and at the processes around. If that fails, the scan looks at all of it.
    pub(super) fn look_around(&self) -> Bystanders {
        self.tasks.freshen_names();
        let look = || -> Result<_, BoxError> {
            let host = HostMounts::look()?;
            let own = ownership::same_cgroup(&self.tasks.init, &host)?;
            Ok(Bystanders::look(self.devices(&host)?, &own)?)
        };
        look().unwrap_or_else(|error| {
            tracing::debug!(%error, "others were not looked at before the freeze");
            Bystanders::default()
        })
    }

    /// The file systems of which something may be carried.
    fn devices(&self, host: &HostMounts) -> Result<HashSet<Device>, BoxError> {
        let FrozenTasks { bundle, init } = &self.tasks;
        let map = MountMap::build(bundle, &init.mounts()?, host, init);
        Ok(map.carried().map(|mount| mount.device).collect())
    }

    /// The containers that stand still beside this one and share files with it.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub(super) fn circle(&self, plan: &RemapPlan) -> Result<Option<Circle>, BoxError> {
        let FrozenTasks { bundle, init } = &self.tasks;
        Ok(Circle::of(bundle, init, plan)?)
    }

    /// Decides what happens with each file, and refuses what cannot be checkpointed as intended.
    ///
    /// # Errors
    /// All that is in the way, with the remedies.
    pub(super) fn plan(&self, scan: &Scan) -> Result<RemapPlan, BoxError> {
        let plan = plan::plan(scan);
        for warning in plan.warnings(&self.intent) {
            tracing::warn!("{warning}");
        }
        refuse(plan.refusals(&self.intent))?;
        let policy = &self.intent.policy;
        if carry_limit::is_set(policy) {
            let (measured, _) = self.tasks.open(&plan)?.measure()?;
            refuse(carry_limit::refusals(
                policy,
                &measured,
                plan.ghosted_bytes(),
            ))?;
        }
        Ok(plan)
    }
}

fn refuse(refusals: Vec<Refusal>) -> Result<(), BoxError> {
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Refused(refusals.iter().map(ToString::to_string).collect()).into())
}

#[derive(Debug, thiserror::Error)]
#[error("this container cannot be checkpointed: {}", .0.join("; also: "))]
struct Refused(Vec<String>);

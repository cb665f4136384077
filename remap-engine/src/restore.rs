//! The restore, as one transaction.
//!
//! Whatever fails, the mounts of the target are afterwards as they were, and nothing that the
//! restore made stays.
//!
//! | phase | what it does | how a later failure undoes it | after a kill of this process |
//! |---|---|---|---|
//! | verify | checks every file against its digest | changes nothing | |
//! | fit | holds the network of the checkpoint against the bundle's | changes nothing | |
//! | fit | finds the place of each mount's contents and of what came along with binds, and whether [others](crate::together) wait there; waits for the [locks](crate::tmpfs_lock) of its tmpfs | changes nothing | |
//! | fit | finds the place of each name of a ghost, and that it is free | changes nothing | |
//! | populate | stashes the old contents, puts in the new ones | [`Populated::rollback`](crate::carry::Populated::rollback) | by its journal ([`recover`]) |
//! | populate | makes the names `link_remap.N` that nothing brings ([`crate::linked`]) | they are removed | by their journal ([`recover`]) |
//! | restore | CRIU brings the tasks back; held, it waits until ghosts have their names; then the tasks take the [locks](crate::relock) that CRIU loses | [`HalfRestored`](crate::half_restored::HalfRestored) ends them, and the runtime forgets the container; [`Relink::rollback`] removes the names | by their notes ([`end_tasks`], [`recover`]) |
//! | commit | gives up the old contents | is not undone: the tasks run | the bundle goes, and the stash with it |

mod changes;
mod checked;
mod companions;
mod config;
mod held;
mod network;
mod populate;
mod recover;
mod tasks;

use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::criu::config::ExternalMount;
use crate::criu::stats::{self, Stats};
use crate::fit::{self, Place};
use crate::linked::Links;
use crate::manifest::DumpOptions;
use crate::phase::{BoxError, Phase, PhaseError};
use crate::relink::Relink;
use crate::time_limit;
use crate::tmpfs_lock::TmpfsLocks;
use crate::took::{Meter, Took};
use crate::workdir::WorkDir;

use self::changes::Changes;
use self::checked::Checked;
use self::companions::Companions;
pub use self::recover::{end_tasks, recover};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The bundle of the container to be restored, adopted (see [`crate::bundle::adopt`]).
    pub bundle: PathBuf,
    /// The checkpoint.
    pub image_dir: PathBuf,
    /// CRIU's working directory.
    pub work_dir: PathBuf,
    /// Mounts from outside that the runtime made itself, and does not tell CRIU of.
    pub external: Vec<ExternalMount>,
    /// The path of the container's cgroup in its hierarchy, if CRIU is to restore the tasks into it (criu(8),
    /// `--cgroup-root`) and the runtime does not tell it.
    pub cgroup_root: Option<String>,
    /// The executable that acts as CRIU's action script when called as
    /// [`crate::hold::SCRIPT_NAME`].
    pub script: PathBuf,
}

/// How the tasks are restored: runc's part, given by the caller.
pub trait Restorer: Sync {
    /// Restores the tasks with CRIU, with the options that were recorded at the dump if it was
    /// made by this engine.
    ///
    /// # Errors
    /// CRIU failed, or the runtime; tasks that are left are the engine's concern.
    fn restore(&self, options: Option<&DumpOptions>) -> Result<(), BoxError>;

    /// Has the processes of the container, first init, which CRIU traces, freeze as soon as it lets
    /// them go. CRIU itself, which the runtime has put into their control group, is not frozen.
    ///
    /// # Errors
    /// They will run.
    fn freeze(&self, processes: &[i32]) -> Result<(), BoxError>;

    /// Lets the container whose init is `init` run.
    ///
    /// # Errors
    /// It is still frozen, or gone.
    fn thaw(&self, init: i32) -> Result<(), BoxError>;

    /// Kills the runtime that restores, if it still runs, so that [`Restorer::restore`] returns.
    /// CRIU is the engine's concern.
    fn abort(&self);

    /// Removes what the runtime keeps of a container whose restore has failed. No task of it runs.
    fn discard(&self);
}

/// Restores a checkpoint, and says what it took. One that the stock shim made has no manifest and is handed to CRIU as it
/// is.
///
/// # Errors
/// The phase that failed, and why. The mounts are as they were, and no task of the container is
/// left; except if they cannot be put back, where the error says what is kept where.
pub fn restore(request: &RestoreRequest, restorer: &dyn Restorer) -> Result<Took, PhaseError> {
    let meter = Meter::start();
    let bundle = meter.run(Phase::Verify, || Bundle::load(&request.bundle))?;
    let checked = meter.run(Phase::Verify, || Checked::open(&request.image_dir))?;
    let work = WorkDir::of(&request.bundle);
    meter.run(Phase::Fit, || network::check(&bundle, &request.image_dir))?;
    let places = meter.run(Phase::Fit, || fit::fit(&bundle, checked.mounts()))?;
    let mut along = meter.run(Phase::Fit, || fit::along(&bundle, checked.along()))?;
    along.extend(request.external.iter().cloned());
    let links = meter.run(Phase::Fit, || Links::fit(&bundle, checked.links()))?;
    let _locks = meter.run(Phase::Fit, || lock(&bundle, &places))?;
    let ghosts = meter.run(Phase::Fit, || {
        Relink::prepare(&bundle, checked.ghosts(), &work.relink_note())
    })?;
    let companions = meter.run(Phase::Fit, || {
        Companions::expect(&bundle, checked.together(), &places)
    })?;
    let mut changes = Changes::begin(work, ghosts);
    let populate = || changes.populate(request, &places, &companions);
    let result = meter
        .run(Phase::Populate, populate)
        .and_then(|()| meter.run(Phase::Populate, || changes.link(links)))
        .and_then(|()| {
            let asked = (checked.options(), &along[..]);
            let ghosts = &mut changes.ghosts;
            let work = || tasks::restore(request, &bundle, restorer, asked, ghosts);
            meter.run(Phase::Restore, work)
        });
    if let Err(error) = result {
        return Err(changes.rollback(error));
    }
    companions.stay();
    meter.time(Phase::Commit, || changes.commit());
    meter.weigh(checked.volumes());
    match Stats::read(&request.work_dir.join(stats::RESTORE)) {
        Ok(stats) => meter.criu_says(stats),
        Err(error) => tracing::debug!(%error, "CRIU's figures are not kept"),
    }
    let took = meter.took();
    tracing::info!(%took, "restored");
    Ok(took)
}

/// Waits until no other dump or restore is under way on a tmpfs that gets contents.
fn lock(bundle: &Bundle, places: &[Place]) -> Result<TmpfsLocks, BoxError> {
    let limit = (time_limit::RESTORE.of(bundle)?, &time_limit::RESTORE);
    let devices = places.iter().map(|place| place.device);
    let holder = bundle.path.display().to_string();
    Ok(TmpfsLocks::take(devices, &holder, limit)?)
}

#[cfg(test)]
mod tests;

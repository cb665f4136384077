//! The checkpoint, as one transaction.
//!
//! Whatever fails, the container is afterwards in the state in which it was before (running or
//! paused), with its files as they were, and nothing that the checkpoint made stays.
//!
//! | phase | what it does | how a later failure undoes it | after a kill of this process |
//! |---|---|---|---|
//! | prepare | reads the bundle, makes the image directory and the meeting point with CRIU's script, waits for the [locks](crate::tmpfs_lock) of its tmpfs, looks at [who has nothing there](crate::ownership::Bystanders) | [`ImageDir`](crate::image_dir::ImageDir) removes what was added | by its journal ([`Interrupted`]) |
//! | freeze | stops the tasks | `Freeze` lets them run, if they ran | containerd ends the container |
//! | scan | looks at what they hold | changes nothing | |
//! | plan | decides, or refuses; opens the mounts; sees [who stands still beside](crate::together) | changes nothing | |
//! | dump | CRIU writes its images, and is held | CRIU and the runtime end; `Links` removes CRIU's names, `network` its lock; `Freeze` pauses again what was paused | by the plan in the bundle ([`Interrupted`]) |
//! | capture | saves the contents of the mounts, and makes ghosts in the images, CRIU being held | the verdict is a veto: CRIU undoes the dump | as dump |
//! | hand-over | whoever asks does its own part, if it has one; time limits rest | as capture | as dump |
//! | thaw | the tasks run again, if they ran | is not undone | |
//! | reconcile | holds the images against what was saved | changes nothing | as prepare |
//! | seal | makes everything durable; the manifest, last, is the commit | as prepare | a checkpoint with its manifest stays |
//!
//! When the container ends with the checkpoint, CRIU is held until reconcile and seal are done, and
//! the hand-over comes after them; there is no thaw: it is CRIU that ends the tasks. When it was paused before, whoever has done that
//! waits for the checkpoint: reconcile and seal are then done while CRIU brings the dump to its end.

mod freeze;
mod frozen;
mod held;
mod interrupted;
mod links;
mod network;
mod prepare;
mod seal;

use std::path::PathBuf;

use crate::criu::stats::{self, Stats};
use crate::hold::Hold;
use crate::manifest::{Ahead, Durability};
use crate::phase::{BoxError, Phase, PhaseError};
use crate::private;
use crate::took::{Meter, Took};

use self::freeze::Freeze;
pub use self::frozen::{FrozenTasks, Saved};
use self::held::Held;
pub use self::interrupted::Interrupted;
use self::links::Links;
use self::prepare::Prepared;
pub use self::seal::Facts;
use self::seal::Seal;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CheckpointRequest {
    /// The bundle, adopted (see [`crate::bundle::adopt`]) before the container was created.
    pub bundle: PathBuf,
    /// The container's init, in the caller's pid namespace.
    pub init_pid: i32,
    /// Where the images go; made with mode 0700 if it is missing.
    pub image_dir: PathBuf,
    /// CRIU's working directory.
    pub work_dir: PathBuf,
    /// Whether the container ends with the checkpoint.
    pub exit: bool,
    /// Whether it is complete only when it is on the disk.
    pub durability: Durability,
    /// What the manifest records.
    pub facts: Facts,
    /// The executable that acts as CRIU's action script when called as
    /// [`crate::hold::SCRIPT_NAME`].
    pub script: PathBuf,
}

/// How the tasks are frozen and dumped: runc's part, given by the caller.
pub trait Dumper: Sync {
    /// Freezes all tasks. Returns whether they ran before.
    ///
    /// # Errors
    /// They cannot be frozen; they run.
    fn freeze(&self) -> Result<bool, BoxError>;

    /// Freezes the tasks again if a dump that failed has left them running: a CRIU that is killed
    /// may thaw them.
    ///
    /// # Errors
    /// They run.
    fn freeze_again(&self) -> Result<(), BoxError>;

    /// Lets the tasks run again. If a dump that failed has thawed them already, that is no error.
    ///
    /// # Errors
    /// They stay frozen.
    fn thaw(&self) -> Result<(), BoxError>;

    /// Dumps the frozen tasks with CRIU. If `exit` was asked for CRIU ends the tasks, else they are
    /// frozen again as before.
    ///
    /// # Errors
    /// CRIU failed, or its action script forbade the dump, or the runtime ended early.
    fn dump(&self) -> Result<(), BoxError>;

    /// Whether CRIU has said that the dump is finished, whatever became of the runtime.
    fn has_finished(&self) -> bool;

    /// Who has something to do itself before the tasks go on, or end.
    fn client(&self) -> Option<&dyn Client> {
        None
    }

    /// Kills the runtime that dumps, if it still runs, so that [`Dumper::dump`] returns. CRIU is
    /// the engine's concern.
    fn abort(&self);
}

/// Whoever asks for a checkpoint and has a part of its own in it, such as saving the root file system.
pub trait Client {
    /// Called while the tasks stand still: all that the images need is saved. If the tasks end with
    /// the checkpoint it is complete.
    ///
    /// # Errors
    /// The checkpoint is given up: the container is as before.
    fn decide(&self) -> Result<(), BoxError>;
}

/// Takes a checkpoint, and says what it took.
///
/// # Errors
/// The phase that failed, and why. The container is in the state that it had, and nothing that the
/// checkpoint made stays. With `exit`, once CRIU was told to end the tasks the checkpoint is
/// complete on disk, and an error of CRIU or the runtime after that counts only if init still
/// lives.
pub fn checkpoint(request: &CheckpointRequest, dumper: &dyn Dumper) -> Result<Took, PhaseError> {
    let meter = Meter::start();
    let prepared = meter.run(Phase::Prepare, || Prepared::new(request))?;
    let hold = || Hold::prepare(&prepared.work.hold(), &request.script);
    let hold = meter.run(Phase::Prepare, hold)?;
    let _locks = meter.run(Phase::Prepare, || prepared.lock())?;
    let bystanders = meter.time(Phase::Prepare, || prepared.look_around());
    let freeze = meter.run(Phase::Freeze, || Freeze::new(dumper, &meter))?;
    let scan = meter.run(Phase::Scan, || prepared.tasks.scan(&bystanders))?;
    let plan = meter.run(Phase::Plan, || prepared.plan(&scan))?;
    let links = Links::clear(&prepared.tasks, &plan, &prepared.work);
    let circle = meter.run(Phase::Plan, || prepared.circle(&plan))?;
    let circle = circle.as_ref();
    let is_awaited = request.exit || !freeze.is_ours();
    let seal = Seal {
        plan: &plan,
        dir: &request.image_dir,
        facts: &prepared.facts,
        circle,
        ahead: match is_awaited {
            true => Ahead::follow(&request.image_dir, request.durability),
            false => Ahead::nothing(request.durability),
        },
        is_awaited,
        meter: &meter,
    };
    let held = held::dump(request, &prepared, hold, dumper, &seal).inspect_err(|_| {
        freeze.again();
        network::unlock(&prepared.tasks);
        if let Some(circle) = circle {
            circle.not_saved();
        }
    })?;
    drop(links);
    if let Some(circle) = circle {
        circle.saved(request.exit && prepared.tasks.init.has_ended());
    }
    if request.exit && prepared.tasks.init.has_ended() {
        freeze.tasks_ended();
    } else {
        meter.run(Phase::Thaw, || freeze.thaw())?;
    }
    keep_stats(request, &meter);
    if let Held::Captured(saved) = held {
        seal.put_on(&saved)?;
    }
    prepared.images.keep();
    let took = meter.took();
    tracing::info!(%took, "checkpointed");
    Ok(took)
}

/// Takes CRIU's figures down, and puts them beside the images, where other tools look for them
/// (checkpointctl). They are no part of what a restore needs.
fn keep_stats(request: &CheckpointRequest, meter: &Meter) {
    let path = request.work_dir.join(stats::DUMP);
    let kept = request.image_dir.join(stats::DUMP);
    let keep = || {
        meter.criu_says(Stats::read(&path)?);
        if !kept.exists() {
            private::write(&kept, &std::fs::read(&path)?)?;
        }
        Ok::<_, std::io::Error>(())
    };
    if let Err(error) = keep() {
        tracing::debug!(%error, "CRIU's figures are not kept");
    }
}

#[cfg(test)]
mod tests;

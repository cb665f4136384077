//! The checkpoint, as one transaction.
//!
//! Whatever fails, the container is afterwards in the state in which it was before (running or
//! paused), with its files as they were, and nothing that the checkpoint made stays.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;
use crate::contents::{self, CapturedMount};
use crate::criu::config::{self, DumpSettings, UserConfig};
use crate::criu::{files, running};
use crate::hold::{Hold, Verdict};
use crate::image_dir::{self, ImageDir};
use crate::link_remap;
use crate::manifest::{CarriedMount, DumpOptions, Manifest};
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::{self, PLAN_FILE, RemapPlan};
use crate::private;
use crate::process::Process;
use crate::reconcile;
use crate::scan;
use crate::workdir::WorkDir;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CheckpointRequest {
    /// The bundle, adopted (see [`crate::bundle::adopt`]) before the container was created.
    pub bundle: PathBuf,
    /// The container's init, in the caller's pid namespace.
    pub init_pid: i32,
    /// Where the images go; made with mode 0700 if it is missing.
    pub image_dir: PathBuf,
    /// Whether the container ends with the checkpoint.
    pub exit: bool,
    /// Options of the dump, recorded for the restore.
    pub options: DumpOptions,
    /// Versions of what takes part, recorded in the manifest.
    pub versions: BTreeMap<String, String>,
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
}

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
}

/// Takes a checkpoint.
///
/// # Errors
/// The phase that failed, and why. The container is in the state that it had, and nothing that the
/// checkpoint made stays. With `exit`, once CRIU was told to end the tasks the checkpoint is
/// complete on disk, and an error of CRIU or the runtime after that counts only if init still
/// lives.
pub fn checkpoint(
    request: &CheckpointRequest,
    dumper: &dyn Dumper,
) -> Result<RemapPlan, PhaseError> {
    let prepared = Phase::Prepare.run(|| Prepared::new(request))?;
    let frozen = Phase::Freeze.run(|| Freeze::new(dumper))?;
    let plan = prepared.tasks.plan()?;
    Phase::Plan.run(|| refuse(&plan, &prepared.user_config))?;
    let captured = dump(request, &prepared, dumper, &plan).inspect_err(|_| {
        frozen.freeze_again();
        undo_dump(&prepared, &plan);
    })?;
    if request.exit {
        frozen.tasks_ended();
    } else {
        Phase::Thaw.run(|| frozen.thaw())?;
        seal(request, &prepared, &plan, &captured)?;
    }
    prepared.images.keep();
    Ok(plan)
}

/// Removes what a checkpoint left whose process was killed in the middle of it. Does nothing if
/// there was none. The container must have ended.
///
/// # Errors
/// Something cannot be removed.
pub fn recover(bundle: &Path) -> Result<(), BoxError> {
    Ok(image_dir::recover(
        &WorkDir::of(bundle).checkpoint_journal(),
    )?)
}

struct Prepared {
    tasks: FrozenTasks,
    images: ImageDir,
    user_config: UserConfig,
    work: WorkDir,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the container was created without this shim, and CRIU would not read the engine's configuration; create it anew with this shim"
)]
struct NotAdopted;

impl Prepared {
    fn new(request: &CheckpointRequest) -> Result<Self, BoxError> {
        let bundle = Bundle::load(&request.bundle)?;
        if !bundle.is_adopted() {
            return Err(NotAdopted.into());
        }
        let user_config = UserConfig::load(bundle.user_criu_config())?;
        let work = WorkDir::of(&request.bundle);
        private::create_dir(work.path())?;
        let init = Process::pin(request.init_pid)?;
        Ok(Self {
            tasks: FrozenTasks { bundle, init },
            images: ImageDir::prepare(&request.image_dir, &work.checkpoint_journal())?,
            user_config,
            work,
        })
    }
}

/// Tasks that are frozen; dropping it lets them run again if they ran before.
struct Freeze<'d> {
    dumper: &'d dyn Dumper,
    ran: bool,
}

impl<'d> Freeze<'d> {
    fn new(dumper: &'d dyn Dumper) -> Result<Self, BoxError> {
        let ran = dumper.freeze()?;
        Ok(Self { dumper, ran })
    }

    fn freeze_again(&self) {
        if !self.ran
            && let Err(error) = self.dumper.freeze_again()
        {
            tracing::error!(
                error,
                "the container runs, and was paused before: pause it by hand"
            );
        }
    }

    fn thaw(mut self) -> Result<(), BoxError> {
        let ran = std::mem::take(&mut self.ran);
        if ran { self.dumper.thaw() } else { Ok(()) }
    }

    fn tasks_ended(mut self) {
        self.ran = false;
    }
}

impl Drop for Freeze<'_> {
    fn drop(&mut self) {
        if !self.ran {
            return;
        }
        if let Err(error) = self.dumper.thaw() {
            tracing::error!(error, "the container stays paused: resume it by hand");
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this container cannot be checkpointed: {}", .0.join("; also: "))]
struct Refused(Vec<String>);

fn refuse(plan: &RemapPlan, user_config: &UserConfig) -> Result<(), BoxError> {
    for pid in &plan.exec_sessions {
        tracing::warn!(pid, "an exec session is not part of the checkpoint");
    }
    let refusals = plan.refusals(user_config.ghost_limit_bytes()?);
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Refused(refusals.iter().map(ToString::to_string).collect()).into())
}

#[derive(Debug, thiserror::Error)]
#[error(
    "CRIU ended without calling the action script {0}; look for another action-script, or for options that keep CRIU from reading its configuration file"
)]
struct NotHeld(PathBuf);

/// Runs the dump and, while CRIU is held, the part that needs frozen tasks.
fn dump(
    request: &CheckpointRequest,
    prepared: &Prepared,
    dumper: &dyn Dumper,
    plan: &RemapPlan,
) -> Result<Vec<CapturedMount>, PhaseError> {
    Phase::Dump.run(|| remove_links(prepared, plan))?;
    let hold = Phase::Dump.run(|| Hold::prepare(&prepared.work.hold(), &request.script))?;
    let _config = Phase::Dump.run(|| ConfigForDump::write(prepared, &hold, plan))?;
    let (ended, end) = Phase::Dump.run(ends_with_dump)?;

    let mut held = None;
    let (served, dumped) = std::thread::scope(|scope| {
        let dump = scope.spawn(move || {
            let result = dumper.dump();
            // A runtime that was killed leaves CRIU behind.
            let gone = match &result {
                Ok(()) => Ok(false),
                Err(_) => running::wait_until_gone(prepared.images.path(), running::PATIENCE),
            };
            drop(end);
            result.and_then(|()| Ok(gone.map(drop)?))
        });
        let served = hold.serve(ended.as_fd(), || {
            let result = while_held(request, prepared, plan);
            let verdict = match result {
                Ok(_) => Verdict::Release,
                Err(_) => Verdict::Veto,
            };
            held = Some(result);
            verdict
        });
        let dumped = dump
            .join()
            .unwrap_or_else(|_| Err("the dump's thread panicked".into()));
        (served, dumped)
    });

    let captured = held.transpose()?;
    match (captured, dumped) {
        (Some(captured), Ok(())) => Ok(captured),
        (Some(captured), Err(error)) if request.exit && prepared.tasks.init.has_ended() => {
            tracing::warn!(
                error,
                "the dump is complete, but the runtime reports an error"
            );
            Ok(captured)
        }
        (_, Err(error)) => Err(Phase::Dump.failed(error)),
        (None, Ok(())) => {
            Phase::Dump.run(|| served)?;
            Err(Phase::Dump.failed(NotHeld(hold.script())))
        }
    }
}

/// Removes the names that an earlier or a failed dump left for inodes of the container.
fn remove_links(prepared: &Prepared, plan: &RemapPlan) -> rustix::io::Result<()> {
    let removed = link_remap::remove(&prepared.tasks.init, plan)?;
    if removed > 0 {
        tracing::warn!(removed, "removed names that a dump had left");
    }
    Ok(())
}

/// A CRIU that was killed has not undone what it did.
fn undo_dump(prepared: &Prepared, plan: &RemapPlan) {
    if let Err(error) = remove_links(prepared, plan) {
        tracing::error!(%error, "names link_remap.* of a failed dump stay; remove them by hand");
    }
}

/// What is done while CRIU is held and all tasks are frozen: all of it if the tasks end with the
/// dump, else only what cannot wait until they run again.
fn while_held(
    request: &CheckpointRequest,
    prepared: &Prepared,
    plan: &RemapPlan,
) -> Result<Vec<CapturedMount>, PhaseError> {
    let captured = prepared.tasks.capture(plan, prepared.images.path())?;
    if request.exit {
        seal(request, prepared, plan, &captured)?;
    }
    Ok(captured)
}

/// A pipe: the reading end reports hang-up when the writing end is closed.
fn ends_with_dump() -> nix::Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
}

/// The configuration that the dump needs; dropping it puts back what the user wants.
struct ConfigForDump<'p>(&'p Prepared);

impl<'p> ConfigForDump<'p> {
    fn write(prepared: &'p Prepared, hold: &Hold, plan: &RemapPlan) -> Result<Self, BoxError> {
        let settings = DumpSettings {
            action_script: hold.script(),
            ghost_limit_bytes: plan.ghost_limit_bytes,
        };
        let text = prepared.user_config.for_dump(&settings);
        config::write(&prepared.work.criu_config(), &text)?;
        Ok(Self(prepared))
    }
}

impl Drop for ConfigForDump<'_> {
    fn drop(&mut self) {
        let Prepared {
            user_config, work, ..
        } = self.0;
        if let Err(error) = config::write(&work.criu_config(), user_config.for_restore()) {
            tracing::warn!(%error, "the CRIU configuration of a dump stays");
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the checkpoint would not restore: {}", .0.join("; also: "))]
struct NotRestorable(Vec<String>);

/// Holds the images against what was carried, and makes everything durable; the manifest is
/// written last and marks the checkpoint as complete.
///
/// # Errors
/// Phase reconcile or seal; what was written stays, for the caller to remove.
fn seal(
    request: &CheckpointRequest,
    prepared: &Prepared,
    plan: &RemapPlan,
    captured: &[CapturedMount],
) -> Result<(), PhaseError> {
    let dir = prepared.images.path();
    Phase::Reconcile.run(|| -> Result<(), BoxError> {
        let files = files::read(dir)?;
        let lost = reconcile::reconcile(&plan.map, &contents::names(captured), &files);
        if lost.is_empty() {
            return Ok(());
        }
        Err(NotRestorable(lost.iter().map(ToString::to_string).collect()).into())
    })?;
    Phase::Seal.run(|| -> Result<(), BoxError> {
        private::write(&dir.join(PLAN_FILE), &plan.to_json()?)?;
        let carried = captured.iter().flat_map(carried_mounts).collect();
        let versions = request.versions.clone();
        let manifest = Manifest::build(dir, versions, request.options.clone(), carried)?;
        manifest.write(dir)?;
        Ok(())
    })
}

fn carried_mounts(one: &CapturedMount) -> impl Iterator<Item = CarriedMount> {
    one.mounts.iter().map(|mount| CarriedMount {
        destination: mount.destination.clone(),
        archive: one.archive.clone(),
        fs_options: mount.fs_options.split(',').map(str::to_owned).collect(),
        bytes: one.captured.totals.data_bytes,
        entries: one.captured.totals.entries,
    })
}

#[cfg(test)]
mod tests;

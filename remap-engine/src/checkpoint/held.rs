//! The dump, with CRIU held while the tasks are frozen and the images are complete.

use std::os::fd::AsFd;
use std::path::PathBuf;

use super::prepare::Prepared;
use super::{CheckpointRequest, Dumper, FrozenTasks};
use crate::contents::CapturedMount;
use crate::criu::config::{self, DumpSettings};
use crate::criu::running;
use crate::hold::{Hold, Verdict};
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::RemapPlan;
use crate::{time_limit, watchdog};

#[derive(Debug, thiserror::Error)]
#[error(
    "CRIU ended without calling the action script {0}; look for another action-script, or for options that keep CRIU from reading its configuration file"
)]
struct NotHeld(PathBuf);

/// Runs the dump and, while CRIU is held, the part that needs frozen tasks.
pub(super) fn dump(
    request: &CheckpointRequest,
    prepared: &Prepared,
    dumper: &dyn Dumper,
    plan: &RemapPlan,
) -> Result<Vec<CapturedMount>, PhaseError> {
    let hold = Phase::Dump.run(|| Hold::prepare(&prepared.work.hold(), &request.script))?;
    let _config = Phase::Dump.run(|| ConfigForDump::write(prepared, &hold, plan))?;
    let script = hold.script();
    let limit = Phase::Dump.run(|| time_limit::of(&prepared.tasks.bundle, time_limit::DUMP))?;
    let (ended, end) = Phase::Dump.run(watchdog::end_signal)?;

    let mut held = None;
    let (served, dumped) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let abort = || dumper.abort();
            watchdog::watch(
                ended.as_fd(),
                limit,
                time_limit::DUMP,
                &request.image_dir,
                abort,
            )
        });
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
            let result = while_held(request, &prepared.tasks, plan);
            let verdict = match result {
                Ok(_) => Verdict::Release,
                Err(_) => Verdict::Veto,
            };
            held = Some(result);
            verdict
        });
        // Whoever still asks gets no answer, which is a veto: the dump ends even if serving failed.
        drop(hold);
        let dumped = dump
            .join()
            .unwrap_or_else(|_| Err("the dump's thread panicked".into()));
        // What a dump says that was cut short matters less than that it was.
        let watched = watch.join().unwrap_or_else(|_| Ok(()));
        (served, watched.and(dumped))
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
            Err(Phase::Dump.failed(NotHeld(script)))
        }
    }
}

/// What is done while CRIU is held and all tasks are frozen: all of it if the tasks end with the
/// dump, else only what cannot wait until they run again.
fn while_held(
    request: &CheckpointRequest,
    tasks: &FrozenTasks,
    plan: &RemapPlan,
) -> Result<Vec<CapturedMount>, PhaseError> {
    if request.exit {
        tasks.complete(plan, &request.image_dir, &request.facts)
    } else {
        tasks.capture(plan, &request.image_dir)
    }
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

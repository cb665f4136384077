//! The dump, with CRIU held while the tasks are frozen and the images are complete.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::frozen::Contents;
use super::prepare::Prepared;
use super::seal::Seal;
use super::{CheckpointRequest, Dumper, Saved};
use crate::criu::config::{self, DumpSettings};
use crate::criu::running;
use crate::hold::{Hold, Verdict};
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::RemapPlan;
use crate::took::Meter;
use crate::watchdog::Foreign;
use crate::{time_limit, watchdog};

#[derive(Debug, thiserror::Error)]
#[error(
    "CRIU ended without calling the action script {0}; look for another action-script, or for options that keep CRIU from reading its configuration file"
)]
struct NotHeld(PathBuf);

/// Runs the dump and, while CRIU is held, the part that needs frozen tasks. If somebody waits for
/// the checkpoint to let the tasks run, it is made complete while CRIU brings its own part to an end.
/// Returns what was captured if the checkpoint is not complete yet.
pub(super) fn dump(
    request: &CheckpointRequest,
    prepared: &Prepared,
    hold: Hold,
    dumper: &dyn Dumper,
    seal: &Seal<'_>,
) -> Result<Held, PhaseError> {
    let tasks = &prepared.tasks;
    let plan = seal.plan;
    let meter = seal.meter;
    let mounts = meter.time(Phase::Plan, || tasks.open(plan))?;
    let ghosts = meter.time(Phase::Plan, || tasks.ghosts(plan))?;
    let contents = Contents {
        tasks,
        plan,
        mounts: &mounts,
        ghosts: &ghosts,
        circle: seal.circle,
    };
    let limit = prepared.limit;
    let script = hold.script();
    let _config = Phase::Dump.run(|| ConfigForDump::write(prepared, &hold, plan))?;

    let held = OnceLock::new();
    let foreign = Foreign::default();
    let hand_over = || match dumper.client() {
        Some(client) => meter.run(Phase::HandOver, || foreign.during(|| client.decide())),
        None => Ok(()),
    };
    let (ends, sealed) = std::thread::scope(|scope| {
        let mut sealing = None;
        let ends = run(request, dumper, limit, &foreign, hold, meter, || {
            let held = held.get_or_init(|| {
                let held = while_held(request, &contents, seal)?;
                hand_over().map(|()| held)
            });
            if let (Ok(Held::Captured(saved)), true) = (held, seal.is_awaited) {
                let thread = std::thread::Builder::new();
                let span = tracing::Span::current();
                let work = move || span.in_scope(|| seal.put_on(saved));
                sealing = thread.spawn_scoped(scope, work).ok();
            }
            match held {
                Ok(_) => Verdict::Release,
                Err(_) => Verdict::Veto,
            }
        });
        let panicked = |panic| std::panic::resume_unwind(panic);
        let sealed = sealing.map(|thread| thread.join().unwrap_or_else(panicked));
        (ends, sealed)
    });
    let (served, dumped) = ends?;
    let mut held = held.into_inner();

    if let (Some(Err(error)), Ok(None), Err(_)) = (&held, &served, &dumped) {
        // The dump was given up before, and its files went away while they were looked at.
        tracing::warn!(
            error = crate::phase::report(error),
            "nobody waited for this"
        );
        held = None;
    }
    let has_ended = || request.exit && prepared.tasks.init.has_ended();
    match (held.transpose()?, dumped) {
        (Some(held), Ok(())) => sealed.map_or(Ok(held), |sealed| sealed.map(|()| Held::Complete)),
        (Some(held), Err(error)) if has_ended() && dumper.has_finished() => {
            tracing::warn!(error, "the dump is complete, and yet there is an error");
            Ok(held)
        }
        (_, Err(error)) => Err(Phase::Dump.failed(error)),
        (None, Ok(())) if has_ended() => {
            // CRIU before 3.19 does not run the scripts of a configuration file for runc. The
            // tasks are gone, and what they had on private mounts is as they left it.
            tracing::warn!("CRIU did not call the action script; completing the checkpoint now");
            let held = while_held(request, &contents, seal)?;
            if let Err(error) = hand_over() {
                let error = crate::phase::report(&error);
                tracing::warn!(error, "the client's part failed, and the tasks have ended");
            }
            Ok(held)
        }
        (None, Ok(())) => {
            Phase::Dump.run(|| served)?;
            Err(Phase::Dump.failed(NotHeld(script)))
        }
    }
}

/// How the service of the scripts ended, and the dump.
type Ends = (std::io::Result<Option<Verdict>>, Result<(), BoxError>);

/// Dumps under the time limit; `held` is called while CRIU is held.
fn run(
    request: &CheckpointRequest,
    dumper: &dyn Dumper,
    limit: Option<Duration>,
    foreign: &Foreign,
    hold: Hold,
    meter: &Meter,
    held: impl FnOnce() -> Verdict,
) -> Result<Ends, PhaseError> {
    let images = &request.image_dir;
    let (ended, end) = Phase::Dump.run(watchdog::end_signal)?;
    let deciding = Mutex::new(());
    // The dump is what is done while CRIU is not held.
    let mut begun = Instant::now();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let abort = || dumper.abort();
            watchdog::watch(
                ended.as_fd(),
                limit,
                foreign,
                time_limit::DUMP.annotation,
                images,
                abort,
            )
        });
        let dump = scope.spawn(|| {
            let _end = end;
            let result = dumper.dump();
            if result.is_err() {
                // A runtime that was killed leaves CRIU behind, which may be waiting for us.
                drop(deciding.lock());
                running::wait_until_gone(images, running::PATIENCE)?;
            }
            result
        });
        let mut held = Some(held);
        let served = hold.serve(ended.as_fd(), |_| {
            let _deciding = deciding.lock();
            // A dump has one stage in which it is held.
            let Some(held) = held.take() else {
                return Verdict::Veto;
            };
            meter.add(Phase::Dump, begun.elapsed());
            let verdict = held();
            begun = Instant::now();
            verdict
        });
        // Whoever still asks gets no answer, which is a veto: the dump ends even if serving failed.
        drop(hold);
        let panicked = |_| Err("a thread of the dump panicked".into());
        let dumped = dump.join().unwrap_or_else(panicked);
        meter.add(Phase::Dump, begun.elapsed());
        // What a dump says that was cut short matters less than that it was.
        let watched = watch.join().unwrap_or_else(panicked);
        Ok((served, watched.and(dumped)))
    })
}

/// What there is when CRIU may go on.
pub(super) enum Held {
    /// The checkpoint is complete.
    Complete,
    /// What was saved; the rest can wait until the tasks run again.
    Captured(Saved),
}

/// What is done while CRIU is held and all tasks are frozen: all of it if the tasks end with the
/// dump, else only what cannot wait until they run again.
fn while_held(
    request: &CheckpointRequest,
    contents: &Contents<'_>,
    seal: &Seal<'_>,
) -> Result<Held, PhaseError> {
    let capture = || contents.capture(&request.image_dir);
    let saved = seal.meter.time(Phase::Capture, capture)?;
    if request.exit {
        seal.put_on(&saved)?;
        Ok(Held::Complete)
    } else {
        Ok(Held::Captured(saved))
    }
}

/// The configuration that the dump needs; dropping it puts back what the user wants.
struct ConfigForDump<'p>(&'p Prepared);

impl<'p> ConfigForDump<'p> {
    fn write(prepared: &'p Prepared, hold: &Hold, plan: &RemapPlan) -> Result<Self, BoxError> {
        let settings = DumpSettings {
            action_script: hold.script(),
            ghost_limit_bytes: plan.ghost_limit_bytes,
            annotated_ghost_limit_bytes: prepared.intent.policy.ghost_limit_bytes,
            options: prepared.intent.options.clone(),
            scan_paths: plan.watched(),
            external: plan.map.external(),
        };
        let text = prepared.user_config.for_dump(&settings);
        config::write(&prepared.work.criu_config(), &text)?;
        Ok(Self(prepared))
    }
}

impl Drop for ConfigForDump<'_> {
    fn drop(&mut self) {
        let Prepared {
            user_config,
            work,
            intent,
            ..
        } = self.0;
        let text = user_config.for_restore(&intent.policy.options, &[]);
        if let Err(error) = config::write(&work.criu_config(), &text) {
            tracing::warn!(%error, "the CRIU configuration of a dump stays");
        }
    }
}

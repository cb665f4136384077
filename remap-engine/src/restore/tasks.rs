//! CRIU brings the tasks back.

use std::os::fd::AsFd;

use crate::bundle::Bundle;
use crate::criu::config::ExternalMount;
use crate::half_restored::HalfRestored;
use crate::lent::Lent;
use crate::manifest::DumpOptions;
use crate::phase::BoxError;
use crate::relink::Relink;
use crate::{relock, time_limit, watchdog};

use super::config::ConfigForRestore;
use super::held::{Frozen, NotHeld, WhileHeld};
use super::{RestoreRequest, Restorer};

/// Restores the tasks under the time limit, with the options of the dump and what came along with
/// binds, has CRIU wait for the names of ghosts, and gives the tasks the locks that CRIU loses.
///
/// # Errors
/// CRIU, the runtime, the names, or a lock. None of the tasks is left, and the runtime has forgotten the
/// container.
pub(super) fn restore(
    request: &RestoreRequest,
    bundle: &Bundle,
    restorer: &dyn Restorer,
    (options, along): (Option<&DumpOptions>, &[ExternalMount]),
    ghosts: &mut Relink,
) -> Result<(), BoxError> {
    let RestoreRequest {
        cgroup_root,
        image_dir,
        work_dir,
        ..
    } = request;
    let limit = time_limit::RESTORE.of(bundle)?;
    let _config = ConfigForRestore::write(bundle, options, along, cgroup_root.as_deref())?;
    ghosts.begin()?;
    let held = WhileHeld::begin(request, bundle, ghosts, restorer)?;
    let _lent = Lent::to_container(&bundle.path, image_dir)?;
    let half = HalfRestored::begin(&bundle.path, image_dir, work_dir)?;
    let (ended, end) = watchdog::end_signal()?;
    let (watched, served, restored) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let abort = || restorer.abort();
            watchdog::watch(
                ended.as_fd(),
                limit,
                &watchdog::Foreign::default(),
                time_limit::RESTORE.annotation,
                image_dir,
                abort,
            )
        });
        let serve = held.map(|held| scope.spawn(|| held.serve(ended.as_fd())));
        let restored = restorer.restore(options);
        drop(end);
        let panicked = || BoxError::from("a thread of the restore panicked");
        let served = serve.map_or(Ok(None), |serve| {
            serve.join().unwrap_or_else(|_| Err(panicked()))
        });
        let watched = watch.join().unwrap_or_else(|_| Err(panicked()));
        (watched, served, restored)
    });
    // One that ended together with its time has ended. What CRIU says of a restore that we have
    // undone matters less than why; but of one that failed before, it says all.
    let result = match (watched, served, restored) {
        (_, Ok(None), Ok(())) => Ok(()),
        (_, Ok(Some(frozen)), Ok(())) => relock(request, restorer, frozen),
        (_, Err(why), Ok(())) => Err(why),
        (watched, Err(why), Err(_)) if !why.is::<NotHeld>() => watched.and(Err(why)),
        (watched, _, Err(error)) => watched.and(Err(error)),
    };
    if result.is_err() {
        if let Err(error) = half.end(&bundle.path) {
            tracing::error!(error, "end the tasks by hand");
        }
        restorer.discard();
    }
    if let Err(error) = HalfRestored::forget(&bundle.path) {
        tracing::warn!(%error, "the note of a restore stays in the bundle");
    }
    result
}

/// Lets the frozen tasks take the locks that they lack, and go.
///
/// # Errors
/// One cannot be taken. The tasks are still frozen, or killed.
fn relock(
    request: &RestoreRequest,
    restorer: &dyn Restorer,
    Frozen { processes, missing }: Frozen,
) -> Result<(), BoxError> {
    tracing::info!(
        locks = missing.len(),
        "taking locks again that CRIU has lost"
    );
    let init = processes.first().copied().unwrap_or_default();
    relock::take(&request.script, processes, missing, || restorer.thaw(init))
}

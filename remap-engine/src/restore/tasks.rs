//! CRIU brings the tasks back.

use std::os::fd::AsFd;

use crate::bundle::Bundle;
use crate::criu::config::ExternalMount;
use crate::half_restored::HalfRestored;
use crate::lent::Lent;
use crate::manifest::DumpOptions;
use crate::phase::BoxError;
use crate::relink::Relink;
use crate::{time_limit, watchdog};

use super::config::ConfigForRestore;
use super::names::{Names, NotHeld};
use super::{RestoreRequest, Restorer};

/// Restores the tasks under the time limit, with the options of the dump and what came along with
/// binds, and has CRIU wait for the names of ghosts.
///
/// # Errors
/// CRIU, the runtime, or the names. None of the tasks is left, and the runtime has forgotten the
/// container.
pub(super) fn restore(
    request: &RestoreRequest,
    bundle: &Bundle,
    restorer: &dyn Restorer,
    (options, along): (Option<&DumpOptions>, &[ExternalMount]),
    ghosts: &mut Relink,
) -> Result<(), BoxError> {
    let RestoreRequest {
        image_dir,
        work_dir,
        ..
    } = request;
    let limit = time_limit::RESTORE.of(bundle)?;
    let _config = ConfigForRestore::write(bundle, options, along)?;
    ghosts.begin()?;
    let names = Names::begin(request, ghosts)?;
    let _lent = Lent::to_container(&bundle.path, image_dir)?;
    let half = HalfRestored::begin(&bundle.path, image_dir, work_dir)?;
    let (ended, end) = watchdog::end_signal()?;
    let (watched, named, restored) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let abort = || restorer.abort();
            watchdog::watch(
                ended.as_fd(),
                limit,
                time_limit::RESTORE.annotation,
                image_dir,
                abort,
            )
        });
        let serve = names.map(|names| scope.spawn(|| names.serve(ended.as_fd())));
        let restored = restorer.restore(options);
        drop(end);
        let panicked = |_| Err("a thread of the restore panicked".into());
        let named = serve.map_or(Ok(()), |serve| serve.join().unwrap_or_else(panicked));
        (watch.join().unwrap_or_else(panicked), named, restored)
    });
    // One that ended together with its time has ended. What CRIU says of a restore that we have
    // undone matters less than why; but of one that failed before, it says all.
    let result = match (watched, named, restored) {
        (_, named, Ok(())) => named,
        (watched, Err(why), Err(_)) if !why.is::<NotHeld>() => watched.and(Err(why)),
        (watched, _, Err(error)) => watched.and(Err(error)),
    };
    if result.is_err() {
        if let Err(error) = half.end() {
            tracing::error!(error, "end the tasks by hand");
        }
        restorer.discard();
    }
    if let Err(error) = HalfRestored::forget(&bundle.path) {
        tracing::warn!(%error, "the note of a restore stays in the bundle");
    }
    result
}

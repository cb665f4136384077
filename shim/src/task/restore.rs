//! Restore: what start does for a container that was created from a checkpoint.

use std::{path::Path, sync::Arc};

use super::create;
use crate::{
    container::Container,
    criu_log,
    error::TaskError,
    launch::LaunchError,
    runc::{Call, CriuFlags, RestoreArgs},
    shim::Shim,
};

/// Restores the container from `images`; its init runs afterwards. On failure the container is
/// as created, and can be deleted.
///
/// # Errors
/// [`TaskError::Criu`], with the line of CRIU's log that explains it.
pub(super) async fn restore(
    shim: &Shim,
    container: &Arc<Container>,
    images: &Path,
) -> Result<(), TaskError> {
    let work_path = match container.options.criu_work_path.as_str() {
        "" => container.bundle.work(),
        path => path.into(),
    };
    std::fs::create_dir_all(&work_path).map_err(|source| TaskError::File {
        path: work_path.clone(),
        source,
    })?;
    let launched = create::launch_init(shim, container)
        .run(&shim.reaper, |console| {
            Call::Restore(RestoreArgs {
                create: create::create_args(container, console),
                image_path: images.to_owned(),
                work_path: work_path.clone(),
                criu: CriuFlags::default(),
            })
        })
        .await
        .map_err(|error| match error {
            LaunchError::Runc(source) => {
                let log = work_path.join("restore.log");
                TaskError::Criu {
                    what: "restore",
                    line: criu_log::explanation(&log),
                    log: log.display().to_string(),
                    source,
                }
            }
            LaunchError::Other(error) => error,
        })?;
    container.init_runs(launched, &shim.publisher);
    Ok(())
}

//! Delete: of a container that has ended or never ran, or of an exec.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use containerd_shim_protos::{
    api::{DeleteRequest, DeleteResponse},
    protobuf::MessageField,
};
use tokio::time;

use crate::{
    container::Container,
    error::TaskError,
    events, mounts,
    reaper::Exit,
    runc::Call,
    shim::Shim,
    status::{Op, Status},
};

/// `runc delete` has killed a container that never ran; its exit only has to be seen.
const EXIT: Duration = Duration::from_secs(10);

/// Deletes what the request means.
///
/// # Errors
/// [`TaskError`]; it can be tried again then.
pub(super) async fn delete(
    shim: Arc<Shim>,
    request: DeleteRequest,
) -> Result<DeleteResponse, TaskError> {
    let container = shim.container(&request.id)?;
    let (pid, exit) = if request.exec_id.is_empty() {
        delete_container(&shim, &container).await?
    } else {
        delete_exec(&container, &request.exec_id).await?
    };
    Ok(DeleteResponse {
        pid,
        exit_status: exit.map_or(0, |exit| exit.status),
        exited_at: MessageField::from_option(exit.map(|exit| exit.at.into())),
        ..DeleteResponse::default()
    })
}

/// Its pid, and its end unless it never ran.
async fn delete_container(
    shim: &Shim,
    container: &Arc<Container>,
) -> Result<(u32, Option<Exit>), TaskError> {
    let permit = container.begin(Op::Delete).await?;
    // The bundle goes with the container, and what a failed roll-back has kept goes with it.
    remap_engine::restore::recover(container.bundle.path()).map_err(TaskError::NotRolledBack)?;
    runc_delete(container, permit.before()).await?;
    let pid = container.init.pid();
    if pid == 0 || time::timeout(EXIT, container.init.wait()).await.is_err() {
        container.init.finish(killed());
    }
    let exit = container.init.wait().await;
    let exit = Some(exit).filter(|_| pid != 0);
    container.init.close_io().await;
    for exec in container.execs().values() {
        exec.process.finish(killed());
    }
    mounts::unmount(&container.bundle.rootfs())?;
    tracing::info!(id = container.id, "deleted");
    shim.publisher
        .publish(events::deleted(&container.id, pid, exit));
    shim.remove(&container.id);
    permit.commit(Status::Deleted);
    Ok((pid, exit))
}

/// Has runc forget the container. One whose init ended while it was frozen runc takes for paused, and
/// deletes by force only (`delete.go`): force is slow, so it comes second.
async fn runc_delete(container: &Container, before: Status) -> Result<(), TaskError> {
    let delete = async |force| match container.runc.run(&Call::Delete { force }).await {
        // A container that was to be restored is nothing that runc knows.
        Err(error) if error.is_missing_container() => Ok(()),
        result => result.map(drop),
    };
    let deleted = match delete(false).await {
        Err(error) if before == Status::Stopped => {
            tracing::debug!(id = container.id, %error, "deleted by force");
            delete(true).await
        }
        deleted => deleted,
    };
    deleted.map_err(|source| TaskError::Runc {
        action: "delete",
        source,
    })
}

/// Its pid, and its end unless it never ran.
async fn delete_exec(
    container: &Arc<Container>,
    exec_id: &str,
) -> Result<(u32, Option<Exit>), TaskError> {
    let exec = container.exec(exec_id)?;
    if exec.process.runs() {
        return Err(TaskError::StillRuns {
            id: container.id.clone(),
            exec_id: exec_id.to_owned(),
        });
    }
    exec.process.close_io().await;
    container.execs().remove(exec_id);
    // One that never ran: whoever waits for it need not wait any longer.
    exec.process.finish(killed());
    let (pid, exit) = (exec.process.pid(), exec.process.wait().await);
    Ok((pid, Some(exit).filter(|_| pid != 0)))
}

/// The end of what never ran.
fn killed() -> Exit {
    Exit {
        status: 128 + 9,
        at: SystemTime::now(),
    }
}

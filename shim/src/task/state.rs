//! State: answered from memory, at once, whatever else goes on.

use std::sync::atomic::Ordering;

use containerd_shim_protos::{
    api::{self, StateRequest, StateResponse},
    protobuf::MessageField,
};

use crate::{container::Target, error::TaskError, shim::Shim, status::Status};

/// The state of what the request means.
///
/// # Errors
/// [`TaskError::NoContainer`], [`TaskError::NoProcess`].
pub(super) fn state(shim: &Shim, request: &StateRequest) -> Result<StateResponse, TaskError> {
    let container = shim.container(&request.id)?;
    container.pause_unseen.store(false, Ordering::SeqCst);
    let target = container.target(&request.exec_id)?;
    let process = target.process();
    let status = match &target {
        Target::Init(_) => container_status(container.machine.status()),
        Target::Exec(_) if process.exit().is_some() => api::Status::STOPPED,
        Target::Exec(_) if process.pid() == 0 => api::Status::CREATED,
        // A frozen container's processes are frozen too.
        Target::Exec(_) => match container_status(container.machine.status()) {
            status @ (api::Status::PAUSED | api::Status::PAUSING) => status,
            _ => api::Status::RUNNING,
        },
    };
    let exit = process.exit();
    Ok(StateResponse {
        // An exec goes by its own id, and `exec_id` stays empty, as with the Go shim.
        id: match &target {
            Target::Init(_) => container.id.clone(),
            Target::Exec(exec) => exec.process.exec_id.clone(),
        },
        bundle: container.bundle.path().to_string_lossy().into_owned(),
        pid: process.pid(),
        status: status.into(),
        stdin: process.stdio.stdin.clone(),
        stdout: process.stdio.stdout.clone(),
        stderr: process.stdio.stderr.clone(),
        terminal: process.stdio.terminal,
        exit_status: exit.map(|exit| exit.status).unwrap_or_default(),
        exited_at: MessageField::from_option(exit.map(|exit| exit.at.into())),
        ..StateResponse::default()
    })
}

/// containerd has fewer states. What is under way counts as the state before it, for a client
/// that asks during a dump must not think that it failed.
fn container_status(status: Status) -> api::Status {
    match status {
        Status::Created | Status::Starting => api::Status::CREATED,
        Status::Running | Status::Planning | Status::Checkpointing { paused: false } => {
            api::Status::RUNNING
        }
        Status::Pausing => api::Status::PAUSING,
        Status::Paused | Status::Resuming | Status::Checkpointing { paused: true } => {
            api::Status::PAUSED
        }
        Status::Stopped | Status::Deleting | Status::Deleted => api::Status::STOPPED,
    }
}

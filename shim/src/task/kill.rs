//! Kill: signals, real-time ones too.

use std::sync::Arc;

use containerd_shim_protos::api::{Empty, KillRequest};

use crate::{
    container::{Container, Target},
    error::TaskError,
    freezer,
    runc::Call,
    shim::Shim,
    signal::Signal,
};

/// Signals what the request means. Allowed in every state, during a checkpoint too: a container is
/// thawed for SIGKILL, which then ends whether CRIU holds it or not, and any other signal
/// stays pending and is part of the dump.
///
/// # Errors
/// [`TaskError`]; not found for a process that has ended, or that is not there yet.
pub(super) async fn kill(shim: Arc<Shim>, request: KillRequest) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    let signal = Signal::new(request.signal).ok_or(TaskError::Signal {
        number: request.signal,
    })?;
    match container.target(&request.exec_id)? {
        Target::Init(container) => kill_init(&container, signal, request.all).await?,
        Target::Exec(exec) => match exec.process.pid() {
            0 => {
                return Err(TaskError::NotStarted {
                    id: request.id,
                    exec_id: request.exec_id,
                });
            }
            pid => shim.reaper.kill(pid, signal)?,
        },
    }
    Ok(Empty::new())
}

async fn kill_init(container: &Container, signal: Signal, all: bool) -> Result<(), TaskError> {
    if container.init.exit().is_some() && !all {
        return Err(TaskError::Finished);
    }
    match container.runc.run(&Call::Kill { signal, all }).await {
        Ok(_) => {
            if signal == Signal::KILL {
                freezer::let_end(container);
            }
            Ok(())
        }
        Err(error) if error.is_finished_process() => Err(TaskError::Finished),
        Err(error) if error.is_missing_container() => Err(TaskError::NoContainer {
            id: container.id.clone(),
        }),
        Err(source) => Err(TaskError::Runc {
            action: "kill",
            source,
        }),
    }
}

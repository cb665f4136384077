//! ResizePty and CloseIO.

use containerd_shim_protos::api::{CloseIORequest, Empty, ResizePtyRequest};

use crate::{error::TaskError, shim::Shim};

/// Sets the size of a terminal.
///
/// # Errors
/// [`TaskError`].
pub(super) fn resize(shim: &Shim, request: &ResizePtyRequest) -> Result<Empty, TaskError> {
    let target = shim.target(&request.id, &request.exec_id)?;
    target.process().resize(request.width, request.height)?;
    Ok(Empty::new())
}

/// Ends a process's input.
///
/// # Errors
/// [`TaskError`].
pub(super) fn close(shim: &Shim, request: &CloseIORequest) -> Result<Empty, TaskError> {
    let target = shim.target(&request.id, &request.exec_id)?;
    if request.stdin {
        target.process().close_stdin();
    }
    Ok(Empty::new())
}

//! Checkpoint: containerd's, with a client that takes part.

use std::sync::Arc;

use containerd_shim_protos::{
    api::CheckpointTaskRequest,
    protobuf::{Message, MessageField, well_known_types::any::Any},
    shim::oci::CheckpointOptions,
};
use remap_control::message::{CheckpointRequest, CheckpointResponse};

use crate::{
    error::TaskError,
    hand_over::HandOver,
    requester::Requester,
    shim::Shim,
    task::checkpoint::{self, OPTIONS},
};

/// Takes a checkpoint.
///
/// # Errors
/// As [`checkpoint::checkpoint`].
pub(super) async fn checkpoint(
    shim: Arc<Shim>,
    request: CheckpointRequest,
    requester: Requester,
) -> Result<CheckpointResponse, TaskError> {
    let client = match request.hand_over_socket.as_str() {
        "" => None,
        socket => Some(HandOver::to(socket.into(), request.volatile)),
    };
    let request = task_request(request)?;
    checkpoint::checkpoint(shim, request, requester, client).await?;
    Ok(CheckpointResponse {})
}

/// The same as containerd would ask for it.
fn task_request(request: CheckpointRequest) -> Result<CheckpointTaskRequest, TaskError> {
    let options = CheckpointOptions {
        exit: request.exit,
        open_tcp: request.tcp_established,
        external_unix_sockets: request.ext_unix_sk,
        terminal: request.shell_job,
        file_locks: request.file_locks,
        ..CheckpointOptions::default()
    };
    let value = options.write_to_bytes();
    let value = value.map_err(|error| TaskError::Invalid {
        what: "options",
        why: error.to_string(),
    })?;
    Ok(CheckpointTaskRequest {
        id: request.id,
        path: request.image_path,
        options: MessageField::some(Any {
            type_url: OPTIONS.to_owned(),
            value,
            ..Any::default()
        }),
        ..CheckpointTaskRequest::default()
    })
}

//! Update: new resource limits.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use containerd_shim_protos::api::{Empty, UpdateTaskRequest};

use super::field;
use crate::{error::TaskError, runc::Call, shim::Shim, status::Op};

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Sets the limits of the request: an OCI `linux.resources` object in JSON, in an Any.
///
/// # Errors
/// [`TaskError`]; some limits may have been set then.
pub(super) async fn update(
    shim: Arc<Shim>,
    request: UpdateTaskRequest,
) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    let resources = &request.resources.value;
    field::object("resources", resources)?;
    let _permit = container.begin(Op::Update).await?;
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let path = container
        .bundle
        .path()
        .join(format!("update-{serial}.json"));
    write(&path, resources)?;
    let result = container
        .runc
        .run(&Call::Update {
            resources: path.clone(),
        })
        .await;
    let _ = std::fs::remove_file(&path);
    result.map_err(|source| TaskError::Runc {
        action: "update",
        source,
    })?;
    Ok(Empty::new())
}

fn write(path: &PathBuf, resources: &[u8]) -> Result<(), TaskError> {
    std::fs::write(path, resources).map_err(|source| TaskError::File {
        path: path.clone(),
        source,
    })
}

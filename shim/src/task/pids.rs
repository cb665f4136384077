//! Pids: the processes of a container.

use std::{collections::HashMap, sync::Arc};

use containerd_shim_protos::{
    api::{PidsRequest, PidsResponse, ProcessInfo},
    protobuf::{Message, MessageField, well_known_types::any::Any},
    shim::oci::ProcessDetails,
};

use crate::{error::TaskError, shim::Shim};

/// Lists them, execs with their ids.
///
/// A container that does not run (one to be restored, or one that ended) has its init's pid in
/// the answer: a containerd that restarts takes an empty one for a shim that was left over, and
/// would end it together with the exit status that it has to deliver.
///
/// # Errors
/// [`TaskError`].
pub(super) async fn pids(shim: Arc<Shim>, request: PidsRequest) -> Result<PidsResponse, TaskError> {
    let container = shim.container(&request.id)?;
    let init = container.init.pid();
    let pids = if container.init.runs() {
        let pids = container.runc.pids().await;
        pids.map_err(|source| TaskError::Runc {
            action: "ps",
            source,
        })?
    } else {
        vec![init]
    };
    let execs: HashMap<u32, String> = container
        .execs()
        .values()
        .filter(|exec| exec.process.runs())
        .map(|exec| (exec.process.pid(), exec.process.exec_id.clone()))
        .collect();
    let process = |pid| ProcessInfo {
        pid,
        info: MessageField::from_option(execs.get(&pid).map(|exec_id| details(exec_id))),
        ..ProcessInfo::default()
    };
    Ok(PidsResponse {
        processes: pids.into_iter().map(process).collect(),
        ..PidsResponse::default()
    })
}

fn details(exec_id: &str) -> Any {
    let details = ProcessDetails {
        exec_id: exec_id.to_owned(),
        ..ProcessDetails::default()
    };
    Any {
        type_url: "containerd.runc.v1.ProcessDetails".into(),
        // Encoding fails for unset required fields only, and proto3 has none.
        value: details.write_to_bytes().unwrap_or_default(),
        ..Any::default()
    }
}

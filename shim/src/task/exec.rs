//! Exec: adding a process to a container, and starting it.

use std::{
    collections::hash_map::Entry,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use containerd_shim_protos::api::{Empty, ExecProcessRequest};

use super::field;
use crate::{
    container::{Container, Exec},
    error::TaskError,
    events,
    io::{Owner, Stdio},
    launch::{Launch, Launched},
    process::Process,
    runc::{Call, ExecArgs},
    shim::Shim,
    status::{Op, Refused, Status},
};

/// Names the files of one start; an exec id may be no file name.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Adds a process; it does not run yet.
///
/// # Errors
/// [`TaskError`].
pub(super) async fn add(shim: Arc<Shim>, request: ExecProcessRequest) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    let spec = field::process(&request)?;
    let stdio = Stdio {
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        terminal: request.terminal,
    };
    stdio.check()?;
    let _permit = container.begin(Op::Exec).await?;
    if container.init.pid() == 0 {
        // It is to be restored, and has no namespaces yet.
        return Err(TaskError::Refused {
            id: request.id,
            refused: Refused {
                op: Op::Exec,
                status: Status::Created,
            },
        });
    }
    match container.execs().entry(request.exec_id.clone()) {
        Entry::Occupied(_) => {
            return Err(TaskError::ProcessExists {
                id: request.id,
                exec_id: request.exec_id,
            });
        }
        Entry::Vacant(entry) => entry.insert(Arc::new(Exec {
            process: Process::new(request.exec_id.clone(), stdio),
            spec: spec.into(),
        })),
    };
    shim.publisher
        .publish(events::exec_added(&container.id, &request.exec_id));
    Ok(Empty::new())
}

/// Starts a process that was added and returns its pid.
///
/// # Errors
/// [`TaskError`]; it can be started again then, or deleted.
pub(super) async fn start(
    shim: &Shim,
    container: &Arc<Container>,
    exec_id: &str,
) -> Result<u32, TaskError> {
    let exec = container.exec(exec_id)?;
    let _permit = container.begin(Op::Exec).await?;
    if !exec.process.claim_start() {
        return Err(TaskError::Started {
            id: container.id.clone(),
            exec_id: exec_id.to_owned(),
        });
    }
    match launch(shim, container, &exec).await {
        Ok(launched) => {
            let pid = launched.child.pid();
            container.exec_runs(&exec, launched, &shim.publisher);
            Ok(pid)
        }
        Err(error) => {
            exec.process.release_start();
            Err(error)
        }
    }
}

async fn launch(shim: &Shim, container: &Container, exec: &Exec) -> Result<Launched, TaskError> {
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let file = |kind| {
        TemporaryFile(
            container
                .bundle
                .path()
                .join(format!("exec-{serial}.{kind}")),
        )
    };
    let (spec, pid_file) = (file("json"), file("pid"));
    std::fs::write(&spec.0, exec.spec.to_string()).map_err(|source| TaskError::File {
        path: spec.0.clone(),
        source,
    })?;
    let launch = Launch {
        runc: &container.runc,
        bundle: container.bundle.path(),
        options: &container.options,
        stdio: &exec.process.stdio,
        owner: Owner {
            namespace: &shim.namespace,
            id: &container.id,
        },
        pid_file: pid_file.0.clone(),
        running: None,
    };
    launch
        .run(&shim.reaper, |console| {
            Call::Exec(ExecArgs {
                process: spec.0.clone(),
                pid_file: pid_file.0.clone(),
                console_socket: console.map(PathBuf::from),
            })
        })
        .await
        .map_err(|error| error.during("exec"))
}

/// A file that goes with this.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

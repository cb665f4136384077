//! The event service of containerd, which keeps what it is sent.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use containerd_shim_protos::events::task::{
    TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOOM,
    TaskPaused, TaskResumed, TaskStart,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::protobuf::{self, Message};
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_sync::create_events;
use containerd_shim_protos::ttrpc::{self, TtrpcContext};

/// The service; dropping it ends it.
pub(crate) struct Events {
    log: Log,
    server: Option<ttrpc::Server>,
}

type Log = Arc<Mutex<Vec<Event>>>;

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// As `/tasks/exit`.
    pub(crate) topic: String,
    /// The namespace of the envelope.
    pub(crate) namespace: String,
    /// What is in it.
    pub(crate) what: What,
}

/// The events of tasks (containerd `api/events/task.proto`).
#[derive(Debug, Clone)]
pub(crate) enum What {
    Create(TaskCreate),
    Start(TaskStart),
    Exit(TaskExit),
    Delete(TaskDelete),
    Oom(TaskOOM),
    ExecAdded(TaskExecAdded),
    ExecStarted(TaskExecStarted),
    Paused(TaskPaused),
    Resumed(TaskResumed),
    Checkpointed(TaskCheckpointed),
    /// No event that is known, by its type.
    Other(String),
}

impl Events {
    /// Listens on the socket `path`.
    pub(crate) fn listen(path: &Path) -> Result<Self> {
        let log = Log::default();
        let service = create_events(Arc::new(Service(log.clone())));
        let address = format!("unix://{}", path.display());
        let mut server = ttrpc::Server::new()
            .bind(&address)
            .with_context(|| format!("cannot listen on {address}"))?
            .register_service(HashMap::from_iter(service));
        server.start().context("cannot serve events")?;
        Ok(Self {
            log,
            server: Some(server),
        })
    }

    /// How many deletions of containers have come.
    pub(crate) fn deletions(&self) -> usize {
        let so_far = self.so_far();
        let gone = so_far
            .iter()
            .filter(|one| matches!(one.what, What::Delete(_)));
        gone.count()
    }

    /// What has come so far.
    pub(crate) fn so_far(&self) -> Vec<Event> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown();
        }
    }
}

struct Service(Log);

impl containerd_shim_protos::shim_sync::Events for Service {
    fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> ttrpc::Result<Empty> {
        let envelope = request.envelope.unwrap_or_default();
        let event = Event {
            topic: envelope.topic.clone(),
            namespace: envelope.namespace.clone(),
            what: what(&envelope.event.unwrap_or_default())
                .unwrap_or_else(|error| What::Other(error.to_string())),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
        Ok(Empty::new())
    }
}

fn what(any: &Any) -> protobuf::Result<What> {
    let value = &any.value;
    Ok(match any.type_url.as_str() {
        "containerd.events.TaskCreate" => What::Create(TaskCreate::parse_from_bytes(value)?),
        "containerd.events.TaskStart" => What::Start(TaskStart::parse_from_bytes(value)?),
        "containerd.events.TaskExit" => What::Exit(TaskExit::parse_from_bytes(value)?),
        "containerd.events.TaskDelete" => What::Delete(TaskDelete::parse_from_bytes(value)?),
        "containerd.events.TaskOOM" => What::Oom(TaskOOM::parse_from_bytes(value)?),
        "containerd.events.TaskExecAdded" => {
            What::ExecAdded(TaskExecAdded::parse_from_bytes(value)?)
        }
        "containerd.events.TaskExecStarted" => {
            What::ExecStarted(TaskExecStarted::parse_from_bytes(value)?)
        }
        "containerd.events.TaskPaused" => What::Paused(TaskPaused::parse_from_bytes(value)?),
        "containerd.events.TaskResumed" => What::Resumed(TaskResumed::parse_from_bytes(value)?),
        "containerd.events.TaskCheckpointed" => {
            What::Checkpointed(TaskCheckpointed::parse_from_bytes(value)?)
        }
        other => What::Other(other.to_owned()),
    })
}

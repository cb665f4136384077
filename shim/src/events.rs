//! The events of containerd's task API, ready to be published.

use std::time::SystemTime;

use containerd_shim_protos::{
    api::CreateTaskRequest,
    events::task::{
        TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskIO,
        TaskOOM, TaskPaused, TaskResumed, TaskStart,
    },
    protobuf::{Message, MessageField, well_known_types::any::Any},
    topics,
};

use crate::reaper::Exit;

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its topic.
    pub(crate) topic: &'static str,
    /// Its message.
    pub(crate) message: Any,
    /// When it happened.
    pub(crate) at: SystemTime,
}

impl Event {
    /// Whether containerd's idea of what runs depends on it.
    pub(crate) fn is_vital(&self) -> bool {
        matches!(
            self.topic,
            topics::TASK_EXIT_EVENT_TOPIC | topics::TASK_DELETE_EVENT_TOPIC
        )
    }
}

/// `name` is that of the message without its package. (The message knows it, too, but to be asked it
/// builds descriptions of all messages, which stay in memory: half a megabyte.)
fn event(topic: &'static str, name: &str, message: &impl Message) -> Event {
    Event {
        topic,
        message: Any {
            // typeurl, as containerd uses it, wants nothing before the package.
            type_url: format!("containerd.events.{name}"),
            // Encoding fails for unset required fields only, and proto3 has none.
            value: message.write_to_bytes().unwrap_or_default(),
            ..Any::default()
        },
        at: SystemTime::now(),
    }
}

/// A container was created.
pub(crate) fn created(request: &CreateTaskRequest, pid: u32) -> Event {
    let message = TaskCreate {
        container_id: request.id.clone(),
        bundle: request.bundle.clone(),
        rootfs: request.rootfs.clone(),
        io: MessageField::some(TaskIO {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
            ..TaskIO::default()
        }),
        checkpoint: request.checkpoint.clone(),
        pid,
        ..TaskCreate::default()
    };
    event(topics::TASK_CREATE_EVENT_TOPIC, "TaskCreate", &message)
}

/// Its program was started, or it was restored.
pub(crate) fn started(id: &str, pid: u32) -> Event {
    let message = TaskStart {
        container_id: id.to_owned(),
        pid,
        ..TaskStart::default()
    };
    event(topics::TASK_START_EVENT_TOPIC, "TaskStart", &message)
}

/// A process ended. The id of an init's exit is the container's.
pub(crate) fn exited(id: &str, exec_id: &str, pid: u32, exit: Exit) -> Event {
    let message = TaskExit {
        container_id: id.to_owned(),
        id: if exec_id.is_empty() { id } else { exec_id }.to_owned(),
        pid,
        exit_status: exit.status,
        exited_at: MessageField::some(exit.at.into()),
        ..TaskExit::default()
    };
    event(topics::TASK_EXIT_EVENT_TOPIC, "TaskExit", &message)
}

/// A container was deleted, which has ended unless it never ran.
pub(crate) fn deleted(id: &str, pid: u32, exit: Option<Exit>) -> Event {
    let message = TaskDelete {
        container_id: id.to_owned(),
        pid,
        exit_status: exit.map_or(0, |exit| exit.status),
        exited_at: MessageField::from_option(exit.map(|exit| exit.at.into())),
        ..TaskDelete::default()
    };
    event(topics::TASK_DELETE_EVENT_TOPIC, "TaskDelete", &message)
}

/// An exec was announced.
pub(crate) fn exec_added(id: &str, exec_id: &str) -> Event {
    let message = TaskExecAdded {
        container_id: id.to_owned(),
        exec_id: exec_id.to_owned(),
        ..TaskExecAdded::default()
    };
    event(
        topics::TASK_EXEC_ADDED_EVENT_TOPIC,
        "TaskExecAdded",
        &message,
    )
}

/// An exec runs.
pub(crate) fn exec_started(id: &str, exec_id: &str, pid: u32) -> Event {
    let message = TaskExecStarted {
        container_id: id.to_owned(),
        exec_id: exec_id.to_owned(),
        pid,
        ..TaskExecStarted::default()
    };
    event(
        topics::TASK_EXEC_STARTED_EVENT_TOPIC,
        "TaskExecStarted",
        &message,
    )
}

/// A container is frozen.
pub(crate) fn paused(id: &str) -> Event {
    let message = TaskPaused {
        container_id: id.to_owned(),
        ..TaskPaused::default()
    };
    event(topics::TASK_PAUSED_EVENT_TOPIC, "TaskPaused", &message)
}

/// A container goes on.
pub(crate) fn resumed(id: &str) -> Event {
    let message = TaskResumed {
        container_id: id.to_owned(),
        ..TaskResumed::default()
    };
    event(topics::TASK_RESUMED_EVENT_TOPIC, "TaskResumed", &message)
}

/// The kernel has killed in a container for lack of memory.
pub(crate) fn out_of_memory(id: &str) -> Event {
    let message = TaskOOM {
        container_id: id.to_owned(),
        ..TaskOOM::default()
    };
    event(topics::TASK_OOM_EVENT_TOPIC, "TaskOOM", &message)
}

/// A container was checkpointed to `path`.
pub(crate) fn checkpointed(id: &str, path: &str) -> Event {
    let message = TaskCheckpointed {
        container_id: id.to_owned(),
        checkpoint: path.to_owned(),
        ..TaskCheckpointed::default()
    };
    event(
        topics::TASK_CHECKPOINTED_EVENT_TOPIC,
        "TaskCheckpointed",
        &message,
    )
}

#[cfg(test)]
mod tests {
    use containerd_shim_protos::protobuf::MessageFull;

    use super::*;

    #[test]
    fn each_event_has_the_name_of_its_message() {
        fn is<M: MessageFull>(event: &Event) {
            assert_eq!(event.message.type_url, M::descriptor().full_name());
        }
        let exit = Exit {
            status: 0,
            at: SystemTime::UNIX_EPOCH,
        };
        is::<TaskCreate>(&created(&CreateTaskRequest::default(), 1));
        is::<TaskStart>(&started("c1", 1));
        is::<TaskExit>(&exited("c1", "", 1, exit));
        is::<TaskDelete>(&deleted("c1", 1, None));
        is::<TaskExecAdded>(&exec_added("c1", "e1"));
        is::<TaskExecStarted>(&exec_started("c1", "e1", 1));
        is::<TaskPaused>(&paused("c1"));
        is::<TaskResumed>(&resumed("c1"));
        is::<TaskOOM>(&out_of_memory("c1"));
        is::<TaskCheckpointed>(&checkpointed("c1", "/images"));
    }

    #[test]
    fn exits_are_named_as_containerd_expects() {
        let exit = Exit {
            status: 137,
            at: SystemTime::UNIX_EPOCH,
        };
        let event = exited("c1", "", 7, exit);
        assert_eq!(event.topic, "/tasks/exit");
        assert_eq!(event.message.type_url, "containerd.events.TaskExit");
        assert!(event.is_vital());
        let message = TaskExit::parse_from_bytes(&event.message.value).unwrap();
        assert_eq!(
            (message.id.as_str(), message.exit_status, message.pid),
            ("c1", 137, 7)
        );
        let message = TaskExit::parse_from_bytes(&exited("c1", "e1", 8, exit).message.value);
        assert_eq!(message.unwrap().id, "e1");
        assert!(!paused("c1").is_vital());
    }
}

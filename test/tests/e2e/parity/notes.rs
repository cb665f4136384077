//! What is seen of a shim in a case, in terms that do not differ between two runs.

use std::collections::BTreeMap;

use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;

use super::events::{Event, What};
use super::shim::Answer;

/// The notes of one run.
#[derive(Debug, Default)]
pub(super) struct Notes {
    lines: Vec<Note>,
    /// Processes by what they are.
    names: BTreeMap<u32, String>,
}

/// One thing that was seen.
#[derive(Debug, Clone)]
pub(super) struct Note {
    /// What was looked at.
    pub(super) label: String,
    /// What was there.
    pub(super) value: String,
    /// What was said to people, which may differ.
    pub(super) said: String,
}

impl Notes {
    /// Adds one.
    pub(super) fn add(&mut self, label: &str, value: impl Into<String>) {
        self.lines.push(Note {
            label: label.to_owned(),
            value: value.into(),
            said: String::new(),
        });
    }

    /// Adds an answer: what `show` makes of it, or the code of the refusal.
    pub(super) fn answer<R>(
        &mut self,
        label: &str,
        answer: &Answer<R>,
        show: impl FnOnce(&Self, &R) -> String,
    ) {
        let (value, said) = match answer {
            Ok(response) => (format!("ok {}", show(self, response)), String::new()),
            Err(refusal) => (refusal.code.clone(), refusal.message.clone()),
        };
        self.lines.push(Note {
            label: label.to_owned(),
            value: value.trim_end().to_owned(),
            said,
        });
    }

    /// Gives a process a name that is the same in every run.
    pub(super) fn name(&mut self, pid: u32, name: &str) {
        if pid != 0 {
            self.names.entry(pid).or_insert_with(|| name.to_owned());
        }
    }

    /// A pid, by name.
    pub(super) fn pid(&self, pid: u32) -> String {
        match self.names.get(&pid) {
            Some(name) => format!("<{name}>"),
            None if pid == 0 => "0".to_owned(),
            None => "<pid>".to_owned(),
        }
    }

    /// Adds all events, in their order, and as often as they came, unless that is chance.
    pub(super) fn events(&mut self, events: &[Event], unordered: bool) {
        let mut values: Vec<String> = events.iter().map(|event| self.event(event)).collect();
        if unordered {
            values.sort();
            values.dedup();
        }
        for value in values {
            self.add("events", value);
        }
    }

    fn event(&self, event: &Event) -> String {
        let pid = |pid| self.pid(pid);
        let what = match &event.what {
            What::Create(it) => format!(
                "{} pid {} rootfs {} bundle {} checkpoint {:?} io {:?} {:?} {:?} {}",
                it.container_id,
                pid(it.pid),
                it.rootfs.len(),
                it.bundle,
                it.checkpoint,
                it.io.stdin,
                it.io.stdout,
                it.io.stderr,
                it.io.terminal
            ),
            What::Start(it) => format!("{} pid {}", it.container_id, pid(it.pid)),
            What::Exit(it) => format!(
                "{} of {} pid {} status {} at {}",
                it.id,
                it.container_id,
                pid(it.pid),
                it.exit_status,
                time(&it.exited_at)
            ),
            What::Delete(it) => format!(
                "{:?} of {} pid {} status {} at {}",
                it.id,
                it.container_id,
                pid(it.pid),
                it.exit_status,
                time(&it.exited_at)
            ),
            What::Oom(it) => it.container_id.clone(),
            What::ExecAdded(it) => format!("{} of {}", it.exec_id, it.container_id),
            What::ExecStarted(it) => {
                format!("{} of {} pid {}", it.exec_id, it.container_id, pid(it.pid))
            }
            What::Paused(it) => it.container_id.clone(),
            What::Resumed(it) => it.container_id.clone(),
            What::Checkpointed(it) => format!("{} {}", it.container_id, it.checkpoint),
            What::Other(type_url) => format!("unknown {type_url}"),
        };
        format!("{} in {}: {what}", event.topic, event.namespace)
    }

    /// All of them.
    pub(super) fn into_lines(self) -> Vec<Note> {
        self.lines
    }
}

/// Whether a moment is given at all: the Go shim's "none" is the year 1.
pub(super) fn time(moment: &MessageField<Timestamp>) -> &'static str {
    match moment.as_ref() {
        Some(moment) if moment.seconds > 0 => "<time>",
        _ => "never",
    }
}

//! One run of a case: every call is made and noted.

use std::time::Duration;

use anyhow::Result;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, ExecProcessRequest, KillRequest,
    PauseRequest, PidsRequest, PidsResponse, ResizePtyRequest, ResumeRequest, ShutdownRequest,
    StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse,
    UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::protobuf::{Message, MessageField};
use remap_test::wait;
use serde_json::{Value, json};

use super::notes::{Notes, time};
use super::shim::{Answer, ID, Shim};
use super::streams::Streams;

/// How long something that has to come may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How long events may take that were published.
const SENT: Duration = Duration::from_secs(2);

/// A shim, and what was seen of it.
pub(super) struct Run<'h> {
    pub(super) shim: Shim<'h>,
    pub(super) notes: Notes,
    /// The order of the events is chance, and how often one comes.
    pub(super) unordered: bool,
    /// So many creations have succeeded.
    created: usize,
}

impl<'h> Run<'h> {
    pub(super) fn new(shim: Shim<'h>) -> Self {
        Self {
            shim,
            notes: Notes::default(),
            unordered: false,
            created: 0,
        }
    }

    /// What containerd would ask for, without any streams.
    pub(super) fn create_request(&self) -> CreateTaskRequest {
        CreateTaskRequest {
            id: ID.to_owned(),
            bundle: self.shim.bundle(),
            rootfs: vec![self.shim.rootfs()],
            ..CreateTaskRequest::default()
        }
    }

    pub(super) fn create(&mut self) -> Answer<CreateTaskResponse> {
        let request = self.create_request();
        self.create_as(&request)
    }

    pub(super) fn create_as(&mut self, request: &CreateTaskRequest) -> Answer<CreateTaskResponse> {
        let answer: Answer<CreateTaskResponse> = self.shim.call("Create", request);
        if let Ok(response) = &answer {
            self.notes.name(response.pid, "init");
            self.created += 1;
        }
        self.notes
            .answer("create", &answer, |notes, it| notes.pid(it.pid));
        answer
    }

    pub(super) fn start(&mut self, exec: &str) -> Answer<StartResponse> {
        let request = StartRequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            ..StartRequest::default()
        };
        let answer: Answer<StartResponse> = self.shim.call("Start", &request);
        if let Ok(response) = &answer {
            let name = if exec.is_empty() { "init" } else { exec };
            self.notes.name(response.pid, name);
        }
        let label = of("start", exec);
        self.notes
            .answer(&label, &answer, |notes, it| notes.pid(it.pid));
        answer
    }

    pub(super) fn state(&mut self, exec: &str) -> Answer<StateResponse> {
        let answer = self.state_of(ID, exec);
        self.notes.answer(&of("state", exec), &answer, |notes, it| {
            format!(
                "{} {} pid {} {:?} io {:?} {:?} {:?} {} exit {} at {}",
                it.id,
                it.exec_id,
                notes.pid(it.pid),
                it.status,
                it.stdin,
                it.stdout,
                it.stderr,
                it.terminal,
                it.exit_status,
                time(&it.exited_at)
            )
        });
        answer
    }

    fn state_of(&self, id: &str, exec: &str) -> Answer<StateResponse> {
        let request = StateRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..StateRequest::default()
        };
        self.shim.call("State", &request)
    }

    /// Waits for a status without noting the way there.
    pub(super) fn until_status(&self, exec: &str, wanted: &str) -> Result<()> {
        let is = || {
            let state = self.state_of(ID, exec);
            Ok(state.is_ok_and(|it| format!("{:?}", it.status).contains(wanted)))
        };
        anyhow::ensure!(wait::until(LIMIT, is)?, "{exec:?} does not become {wanted}");
        Ok(())
    }

    pub(super) fn kill(&mut self, exec: &str, signal: u32) -> Answer<Empty> {
        self.kill_all(exec, signal, false)
    }

    pub(super) fn kill_all(&mut self, exec: &str, signal: u32, all: bool) -> Answer<Empty> {
        let request = KillRequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            signal,
            all,
            ..KillRequest::default()
        };
        let answer = self.shim.call("Kill", &request);
        self.done(&of(&format!("kill {signal}"), exec), answer)
    }

    pub(super) fn wait(&mut self, exec: &str) -> Answer<WaitResponse> {
        let request = WaitRequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            ..WaitRequest::default()
        };
        let answer: Answer<WaitResponse> = self.shim.call("Wait", &request);
        self.notes.answer(&of("wait", exec), &answer, |_, it| {
            format!("{} at {}", it.exit_status, time(&it.exited_at))
        });
        answer
    }

    pub(super) fn delete(&mut self, exec: &str) -> Answer<DeleteResponse> {
        let request = DeleteRequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            ..DeleteRequest::default()
        };
        let answer: Answer<DeleteResponse> = self.shim.call("Delete", &request);
        self.notes
            .answer(&of("delete", exec), &answer, |notes, it| {
                format!(
                    "pid {} exit {} at {}",
                    notes.pid(it.pid),
                    it.exit_status,
                    time(&it.exited_at)
                )
            });
        answer
    }

    pub(super) fn pids(&mut self) -> Answer<PidsResponse> {
        let request = PidsRequest {
            id: ID.to_owned(),
            ..PidsRequest::default()
        };
        let answer: Answer<PidsResponse> = self.shim.call("Pids", &request);
        self.notes.answer("pids", &answer, |notes, it| {
            let mut all: Vec<String> = it
                .processes
                .iter()
                .map(|one| {
                    let info = one.info.as_ref().map_or("", |info| info.type_url.as_str());
                    format!("{} {info}", notes.pid(one.pid))
                })
                .collect();
            all.sort();
            all.join(", ")
        });
        answer
    }

    pub(super) fn pause(&mut self) -> Answer<Empty> {
        let request = PauseRequest {
            id: ID.to_owned(),
            ..PauseRequest::default()
        };
        let answer = self.shim.call("Pause", &request);
        self.done("pause", answer)
    }

    pub(super) fn resume(&mut self) -> Answer<Empty> {
        let request = ResumeRequest {
            id: ID.to_owned(),
            ..ResumeRequest::default()
        };
        let answer = self.shim.call("Resume", &request);
        self.done("resume", answer)
    }

    /// An exec of a line of shell, without any streams.
    pub(super) fn exec_request(&self, exec: &str, line: &str) -> ExecProcessRequest {
        ExecProcessRequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            spec: process(&json!({
                "args": ["/bin/sh", "-c", line],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": { "uid": 0, "gid": 0 },
            })),
            ..ExecProcessRequest::default()
        }
    }

    pub(super) fn exec(&mut self, exec: &str, line: &str) -> Answer<Empty> {
        let request = self.exec_request(exec, line);
        self.exec_as(&request)
    }

    pub(super) fn exec_as(&mut self, request: &ExecProcessRequest) -> Answer<Empty> {
        let answer = self.shim.call("Exec", request);
        self.done(&of("exec", &request.exec_id), answer)
    }

    pub(super) fn resize(&mut self, exec: &str, width: u32, height: u32) -> Answer<Empty> {
        let request = ResizePtyRequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            width,
            height,
            ..ResizePtyRequest::default()
        };
        let answer = self.shim.call("ResizePty", &request);
        self.done(&of("resize", exec), answer)
    }

    pub(super) fn close_io(&mut self, exec: &str) -> Answer<Empty> {
        let request = CloseIORequest {
            id: ID.to_owned(),
            exec_id: exec.to_owned(),
            stdin: true,
            ..CloseIORequest::default()
        };
        let answer = self.shim.call("CloseIO", &request);
        self.done(&of("close io", exec), answer)
    }

    pub(super) fn stats(&mut self) -> Answer<StatsResponse> {
        let request = StatsRequest {
            id: ID.to_owned(),
            ..StatsRequest::default()
        };
        let answer: Answer<StatsResponse> = self.shim.call("Stats", &request);
        self.notes
            .answer("stats", &answer, |_, it| it.stats.type_url.clone());
        answer
    }

    pub(super) fn update(&mut self, resources: &Value) -> Answer<Empty> {
        self.update_with(MessageField::some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".to_owned(),
            value: resources.to_string().into_bytes(),
            ..Any::default()
        }))
    }

    pub(super) fn update_with(&mut self, resources: MessageField<Any>) -> Answer<Empty> {
        let request = UpdateTaskRequest {
            id: ID.to_owned(),
            resources,
            ..UpdateTaskRequest::default()
        };
        let answer = self.shim.call("Update", &request);
        self.done("update", answer)
    }

    pub(super) fn connect(&mut self) -> Answer<ConnectResponse> {
        let request = ConnectRequest {
            id: ID.to_owned(),
            ..ConnectRequest::default()
        };
        let answer: Answer<ConnectResponse> = self.shim.call("Connect", &request);
        self.notes.answer("connect", &answer, |notes, it| {
            let is_shim = it.shim_pid != 0;
            format!(
                "shim {is_shim} task {} {:?}",
                notes.pid(it.task_pid),
                it.version
            )
        });
        answer
    }

    pub(super) fn checkpoint(&mut self, path: &str, options: MessageField<Any>) -> Answer<Empty> {
        let request = CheckpointTaskRequest {
            id: ID.to_owned(),
            path: path.to_owned(),
            options,
            ..CheckpointTaskRequest::default()
        };
        let answer = self.shim.call("Checkpoint", &request);
        self.done("checkpoint", answer)
    }

    pub(super) fn shutdown(&mut self, now: bool) -> Answer<Empty> {
        let request = ShutdownRequest {
            id: ID.to_owned(),
            now,
            ..ShutdownRequest::default()
        };
        // It may end before it has answered.
        self.shim.call("Shutdown", &request)
    }

    /// Streams for the init or an exec, by name.
    pub(super) fn streams(&self, name: &str) -> Result<Streams> {
        Streams::make(self.shim.host(), &format!("{}/{name}", self.shim.dir()))
    }

    /// Any call that is not listed above.
    pub(super) fn other<Q: Message>(&mut self, label: &str, method: &str, request: &Q) {
        let answer: Answer<Empty> = self.shim.call(method, request);
        let _ = self.done(label, answer);
    }

    fn done(&mut self, label: &str, answer: Answer<Empty>) -> Answer<Empty> {
        self.notes.answer(label, &answer, |_, _| String::new());
        answer
    }

    /// Ends whatever runs, and the shim; notes the events.
    pub(super) fn end(mut self) -> Result<Notes> {
        let quiet = Notes::default();
        let notes = std::mem::replace(&mut self.notes, quiet);
        if self.kill_all("", 9, true).is_ok() {
            let _ = self.wait("");
        }
        let _ = self.delete("");
        if self.state_of(ID, "").is_err() {
            // The stock shim loses what it has not sent yet when it is told to end.
            let are_told = || Ok(self.shim.events().deletions() == self.created);
            wait::until(SENT, are_told)?;
        }
        let _ = self.shutdown(true);
        let ended = self.shim.has_ended()?;
        self.notes = notes;
        self.notes.add("the shim ends", ended.to_string());
        let events = self.shim.events().so_far();
        self.notes.events(&events, self.unordered);
        self.shim.clear()?;
        Ok(self.notes)
    }
}

/// An OCI process, as containerd hands it over.
pub(super) fn process(process: &Value) -> MessageField<Any> {
    MessageField::some(Any {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
        value: process.to_string().into_bytes(),
        ..Any::default()
    })
}

fn of(label: &str, exec: &str) -> String {
    if exec.is_empty() {
        label.to_owned()
    } else {
        format!("{label} of {exec}")
    }
}

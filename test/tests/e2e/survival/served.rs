//! A shim with many containers, spoken to by the test itself.

use anyhow::{Context as _, Result, ensure};
use containerd_shim_protos::api::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, ExecProcessRequest,
    KillRequest, StartRequest, StartResponse, StateRequest, StateResponse, WaitRequest,
    WaitResponse,
};
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use serde_json::json;

use crate::context::Context;
use crate::parity::OURS;
use crate::parity::shim::{ID, Shim};

/// The group of all containers.
const GROUP: &str = "crowd";

/// The shim, with bundles for its containers.
pub(super) struct Served<'h> {
    pub(super) shim: Shim<'h>,
}

impl<'h> Served<'h> {
    /// Starts our shim for containers that run `line`, where `$ID` is the container's.
    pub(super) fn start(context: &Context<'h>, line: &str) -> Result<Self> {
        let mut shim = Shim::prepare(context.a(), OURS, &context.dir()?)?;
        shim.edit_spec(|spec| {
            spec["annotations"] = json!({ "io.containerd.runc.v2.group": GROUP });
            spec["process"]["args"] = json!(["/bin/sh", "-c", line]);
        })?;
        shim.start(b"")?;
        Ok(Self { shim })
    }

    /// Makes a bundle for each, as the first one's.
    pub(super) fn bundles(&self, ids: &[String]) -> Result<()> {
        let (dir, ids) = (self.shim.dir(), ids.join(" "));
        self.shim.host().shell(&format!(
            "cd {dir} && for id in {ids}; do mkdir -p $id/rootfs $id/work && \
             sed \"s|/default/{ID}|/default/$id|; s|[$]ID|$id|\" {ID}/config.json >$id/config.json || exit 1; done"
        ))?;
        Ok(())
    }

    /// Asks for a shim, as containerd does for each container, and gets the same.
    pub(super) fn join(&self, id: &str) -> Result<()> {
        let bundle = format!("{}/{id}", self.shim.dir());
        let output = self
            .shim
            .action_in(&bundle, &["-id", id], "start", b"")?
            .ok()?;
        let address = crate::parity::shim::address(&output)?;
        let path = self.shim.host().path(address.trim_start_matches("unix://"));
        ensure!(self.shim.socket() == Some(path), "another shim: {address}");
        Ok(())
    }

    /// Creates and starts it; returns its pid.
    pub(super) fn run(&self, id: &str) -> Result<u32> {
        let request = CreateTaskRequest {
            id: id.to_owned(),
            bundle: format!("{}/{id}", self.shim.dir()),
            rootfs: vec![self.shim.rootfs()],
            ..CreateTaskRequest::default()
        };
        let created: CreateTaskResponse = self.shim.call("Create", &request)?;
        let pid = self.start_process(id, "")?;
        ensure!(pid == created.pid, "{} became {pid}", created.pid);
        Ok(pid)
    }

    fn start_process(&self, id: &str, exec: &str) -> Result<u32> {
        let request = StartRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..StartRequest::default()
        };
        let started: StartResponse = self.shim.call("Start", &request)?;
        Ok(started.pid)
    }

    /// Its state, and that of its init.
    pub(super) fn state(&self, id: &str) -> Result<StateResponse> {
        let request = StateRequest {
            id: id.to_owned(),
            ..StateRequest::default()
        };
        Ok(self.shim.call("State", &request)?)
    }

    /// An exec from its addition to its deletion; returns its exit code.
    pub(super) fn exec(&self, id: &str, line: &str) -> Result<u32> {
        const EXEC: &str = "e";
        let process = json!({
            "args": ["/bin/sh", "-c", line],
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": { "uid": 0, "gid": 0 },
        });
        let request = ExecProcessRequest {
            id: id.to_owned(),
            exec_id: EXEC.to_owned(),
            spec: MessageField::some(Any {
                value: process.to_string().into_bytes(),
                ..Any::default()
            }),
            ..ExecProcessRequest::default()
        };
        let _: Empty = self.shim.call("Exec", &request)?;
        self.start_process(id, EXEC)?;
        let code = self.wait(id, EXEC)?;
        ensure!(self.delete(id, EXEC)? == code, "an exec has two exit codes");
        Ok(code)
    }

    /// Sends a signal to its init.
    pub(super) fn kill(&self, id: &str, signal: u32) -> Result<()> {
        let request = KillRequest {
            id: id.to_owned(),
            signal,
            ..KillRequest::default()
        };
        let _: Empty = self.shim.call("Kill", &request)?;
        Ok(())
    }

    /// Waits for the end of a process; returns its exit code.
    pub(super) fn wait(&self, id: &str, exec: &str) -> Result<u32> {
        let request = WaitRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..WaitRequest::default()
        };
        let ended: WaitResponse = self.shim.call("Wait", &request)?;
        Ok(ended.exit_status)
    }

    /// Deletes a process; returns its exit code.
    pub(super) fn delete(&self, id: &str, exec: &str) -> Result<u32> {
        let request = DeleteRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..DeleteRequest::default()
        };
        let deleted: DeleteResponse = self.shim.call("Delete", &request)?;
        Ok(deleted.exit_status)
    }

    /// The pid of the one shim, in the host.
    pub(super) fn pid(&self) -> Result<String> {
        let pids = self.shim.pids()?;
        ensure!(pids.len() == 1, "shims: {pids:?}");
        pids.into_iter().next().context("no shim")
    }

    /// Tells the shim to end, and removes what is there.
    pub(super) fn end(self) -> Result<()> {
        let request = containerd_shim_protos::api::ShutdownRequest::default();
        // It may end before it has answered.
        let _ = self.shim.call::<_, Empty>("Shutdown", &request);
        ensure!(self.shim.has_ended()?, "the shim does not end");
        let log = self.shim.log();
        ensure!(!log.contains("panicked"), "{log}");
        self.shim.clear()
    }
}

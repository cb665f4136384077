//! What many cases do: a few calls in a row, or a request with something in it.

use anyhow::{Context as _, Result};
use containerd_shim_protos::api::{CreateTaskRequest, ExecProcessRequest};
use serde_json::json;

use super::run::Run;
use super::streams::Streams;

impl Run<'_> {
    /// The container's program: a line of shell.
    pub(super) fn shell(&self, line: &str) -> Result<()> {
        self.shim.edit_spec(|spec| {
            spec["process"]["args"] = json!(["/bin/sh", "-c", line]);
        })
    }

    /// The shim serves, and the container is to run `line`.
    pub(super) fn served(&mut self, line: &str) -> Result<()> {
        self.shell(line)?;
        self.shim.start(b"")
    }

    /// The shim serves, and the container runs `line`.
    pub(super) fn running(&mut self, line: &str) -> Result<()> {
        self.created(line)?;
        self.start("").context("the container does not start")?;
        Ok(())
    }

    /// The shim serves, and the container is created, to run `line`.
    pub(super) fn created(&mut self, line: &str) -> Result<()> {
        self.served(line)?;
        self.create().context("no container was created")?;
        Ok(())
    }

    /// A container with both outputs.
    pub(super) fn create_to_outputs(&self, streams: &Streams) -> CreateTaskRequest {
        CreateTaskRequest {
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            ..self.create_request()
        }
    }

    /// A container with all streams.
    pub(super) fn create_to_all(&self, streams: &Streams) -> CreateTaskRequest {
        CreateTaskRequest {
            stdin: streams.stdin.clone(),
            ..self.create_to_outputs(streams)
        }
    }

    /// Creates the container and starts it.
    pub(super) fn start_as(&mut self, request: &CreateTaskRequest) {
        let _ = self.create_as(request);
        let _ = self.start("");
    }

    /// An exec with both outputs.
    pub(super) fn exec_to_outputs(
        &self,
        streams: &Streams,
        exec: &str,
        line: &str,
    ) -> ExecProcessRequest {
        ExecProcessRequest {
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            ..self.exec_request(exec, line)
        }
    }

    /// An exec with all streams.
    pub(super) fn exec_to_all(
        &self,
        streams: &Streams,
        exec: &str,
        line: &str,
    ) -> ExecProcessRequest {
        ExecProcessRequest {
            stdin: streams.stdin.clone(),
            ..self.exec_to_outputs(streams, exec, line)
        }
    }

    /// Adds an exec and starts it.
    pub(super) fn start_exec(&mut self, exec: &str, line: &str) {
        let request = self.exec_request(exec, line);
        self.start_exec_as(&request);
    }

    /// The same with a request of one's own.
    pub(super) fn start_exec_as(&mut self, request: &ExecProcessRequest) {
        let _ = self.exec_as(request);
        let _ = self.start(&request.exec_id);
    }

    /// An exec from its addition to its end.
    pub(super) fn whole_exec(&mut self, exec: &str, line: &str) {
        self.start_exec(exec, line);
        self.finish_exec_seen(exec);
    }

    /// Waits for the end of an exec, and deletes it.
    pub(super) fn finish_exec(&mut self, exec: &str) {
        let _ = self.wait(exec);
        let _ = self.delete(exec);
    }

    /// The same with a look at it before it is deleted.
    pub(super) fn finish_exec_seen(&mut self, exec: &str) {
        let _ = self.wait(exec);
        let _ = self.state(exec);
        let _ = self.delete(exec);
    }

    /// Waits for the end of the init, and deletes it.
    pub(super) fn finish(&mut self) {
        let _ = self.wait("");
        let _ = self.delete("");
    }
}

//! containerd's task API, one operation per file.

pub(crate) mod checkpoint;
pub(crate) mod create;
mod delete;
mod exec;
pub(crate) mod field;
mod kill;
mod pause;
mod pids;
mod restore;
mod start;
mod state;
mod stats;
mod stream;
mod update;

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::{
    api::{
        CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
        CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest,
        PauseRequest, PidsRequest, PidsResponse, ResizePtyRequest, ResumeRequest, ShutdownRequest,
        StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse,
        UpdateTaskRequest, WaitRequest, WaitResponse,
    },
    protobuf::MessageField,
    shim_async::Task,
    ttrpc::{Result, asynchronous::TtrpcContext},
};

use crate::{error::TaskError, requester::Waiting, shim::Shim};

/// The service.
#[derive(Debug)]
pub(crate) struct TaskService(Arc<Shim>);

impl TaskService {
    /// Serves the containers of `shim`.
    pub(crate) fn new(shim: Arc<Shim>) -> Self {
        Self(shim)
    }

    fn shim(&self) -> Arc<Shim> {
        Arc::clone(&self.0)
    }
}

/// Handles a request to its end. The server drops a handler when its client gives up or goes
/// away; half a create would be left.
pub(crate) async fn whole<T, F>(handler: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = std::result::Result<T, TaskError>> + Send + 'static,
{
    let result = tokio::spawn(handler).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request was not handled to its end");
        Err(TaskError::Internal)
    });
    result.map_err(|error| {
        let error = error.into();
        tracing::debug!(%error, "a request failed");
        error
    })
}

#[async_trait]
impl Task for TaskService {
    async fn create(&self, _: &TtrpcContext, req: CreateTaskRequest) -> Result<CreateTaskResponse> {
        whole(create::create(self.shim(), req)).await
    }

    async fn start(&self, _: &TtrpcContext, req: StartRequest) -> Result<StartResponse> {
        whole(start::start(self.shim(), req)).await
    }

    async fn delete(&self, _: &TtrpcContext, req: DeleteRequest) -> Result<DeleteResponse> {
        whole(delete::delete(self.shim(), req)).await
    }

    async fn exec(&self, _: &TtrpcContext, req: ExecProcessRequest) -> Result<Empty> {
        whole(exec::add(self.shim(), req)).await
    }

    async fn kill(&self, _: &TtrpcContext, req: KillRequest) -> Result<Empty> {
        whole(kill::kill(self.shim(), req)).await
    }

    async fn pause(&self, _: &TtrpcContext, req: PauseRequest) -> Result<Empty> {
        whole(pause::pause(self.shim(), req)).await
    }

    async fn resume(&self, _: &TtrpcContext, req: ResumeRequest) -> Result<Empty> {
        whole(pause::resume(self.shim(), req)).await
    }

    async fn checkpoint(&self, _: &TtrpcContext, req: CheckpointTaskRequest) -> Result<Empty> {
        let (waiting, requester) = Waiting::new();
        let result = whole(checkpoint::checkpoint(self.shim(), req, requester, None)).await;
        waiting.answered();
        result
    }

    async fn update(&self, _: &TtrpcContext, req: UpdateTaskRequest) -> Result<Empty> {
        whole(update::update(self.shim(), req)).await
    }

    async fn state(&self, _: &TtrpcContext, req: StateRequest) -> Result<StateResponse> {
        Ok(state::state(&self.0, &req)?)
    }

    async fn wait(&self, _: &TtrpcContext, req: WaitRequest) -> Result<WaitResponse> {
        let target = self.0.target(&req.id, &req.exec_id)?;
        let exit = target.process().wait().await;
        Ok(WaitResponse {
            exit_status: exit.status,
            exited_at: MessageField::some(exit.at.into()),
            ..WaitResponse::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, req: PidsRequest) -> Result<PidsResponse> {
        whole(pids::pids(self.shim(), req)).await
    }

    async fn connect(&self, _: &TtrpcContext, req: ConnectRequest) -> Result<ConnectResponse> {
        // Also for a container that is not there: the shim is.
        let container = self.0.container(&req.id).ok();
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: container.map_or(0, |container| container.init.pid()),
            ..ConnectResponse::default()
        })
    }

    async fn resize_pty(&self, _: &TtrpcContext, req: ResizePtyRequest) -> Result<Empty> {
        Ok(stream::resize(&self.0, &req)?)
    }

    async fn close_io(&self, _: &TtrpcContext, req: CloseIORequest) -> Result<Empty> {
        Ok(stream::close(&self.0, &req)?)
    }

    async fn stats(&self, _: &TtrpcContext, req: StatsRequest) -> Result<StatsResponse> {
        whole(stats::stats(self.shim(), req)).await
    }

    /// Nothing happens while there are containers, as in the Go shim.
    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> Result<Empty> {
        self.0.end();
        Ok(Empty::new())
    }
}

//! Tasks: the processes of containers.

use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    CreateTaskRequest, DeleteTaskRequest, GetRequest, KillRequest, StartRequest, WaitRequest,
};
use containerd_client::types::Mount;
use containerd_client::types::v1::Process;
use remap_engine::archive::{Any, Stdio};

use super::container::wire_any;
use super::{Containerd, Refused, Service};

impl Containerd {
    fn tasks(&self) -> TasksClient<Service> {
        let (channel, headers) = self.service();
        TasksClient::with_interceptor(channel, headers)
    }

    /// The task of the container `id`; none, if it has none.
    ///
    /// # Errors
    /// containerd does not say.
    pub(crate) async fn task(&self, id: &str) -> Result<Option<Process>, Refused> {
        let request = GetRequest {
            container_id: id.to_owned(),
            ..GetRequest::default()
        };
        let answer = self.tasks().get(request).await;
        match answer.map_err(Refused::to("give the task of", id)) {
            Ok(answer) => Ok(answer.into_inner().process),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a task, which does not run yet.
    ///
    /// # Errors
    /// There is none then.
    pub(crate) async fn create_task(
        &self,
        id: &str,
        rootfs: Vec<Mount>,
        stdio: &Stdio,
        terminal: bool,
        options: Any,
    ) -> Result<(), Refused> {
        let Stdio {
            stdin,
            stdout,
            stderr,
        } = stdio.clone();
        let request = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin,
            stdout,
            stderr,
            terminal,
            options: Some(wire_any(options)),
            ..CreateTaskRequest::default()
        };
        let created = self.tasks().create(request).await;
        created.map_err(Refused::to("make the task of", id))?;
        Ok(())
    }

    /// Starts a task; its pid.
    ///
    /// # Errors
    /// It does not run, and is there.
    pub(crate) async fn start_task(&self, id: &str) -> Result<u32, Refused> {
        let request = StartRequest {
            container_id: id.to_owned(),
            ..StartRequest::default()
        };
        let answer = self.tasks().start(request).await;
        let answer = answer.map_err(Refused::to("start the task of", id))?;
        Ok(answer.into_inner().pid)
    }

    /// Ends a task by SIGKILL, and waits until it has ended.
    ///
    /// # Errors
    /// It may still run.
    pub(crate) async fn kill_task(&self, id: &str) -> Result<(), Refused> {
        let request = KillRequest {
            container_id: id.to_owned(),
            signal: 9,
            all: true,
            ..KillRequest::default()
        };
        let killed = self.tasks().kill(request).await;
        killed.map_err(Refused::to("end the task of", id))?;
        let request = WaitRequest {
            container_id: id.to_owned(),
            ..WaitRequest::default()
        };
        let ended = self.tasks().wait(request).await;
        ended.map_err(Refused::to("wait for the task of", id))?;
        Ok(())
    }

    /// Removes a task that does not run.
    ///
    /// # Errors
    /// It stays.
    pub(crate) async fn delete_task(&self, id: &str) -> Result<(), Refused> {
        let request = DeleteTaskRequest {
            container_id: id.to_owned(),
        };
        let deleted = self.tasks().delete(request).await;
        deleted.map_err(Refused::to("remove the task of", id))?;
        Ok(())
    }
}

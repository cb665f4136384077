//! Checkpoint: dumps a container, which then goes on as before, or ends.

use std::{
    io::ErrorKind,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use containerd_shim_protos::{
    api::{CheckpointTaskRequest, Empty},
    protobuf::{Message, UnknownValueRef},
    shim::oci::CheckpointOptions,
};
use remap_engine::policy::Policy;
use tokio::time;

use super::{field, pause};
use crate::{
    container::Container,
    engine,
    error::TaskError,
    events,
    hand_over::HandOver,
    options,
    requester::Requester,
    runc::{CheckpointArgs, CriuFlags, Kind, RuncStatus},
    shim::Shim,
    status::{Op, Status},
};

/// The type of the request's options.
pub(crate) const OPTIONS: &str = "containerd.runc.v1.CheckpointOptions";

/// The field of `CheckpointOptions` that containerd added after these protos were made.
const PARENT_PATH: u32 = 10;

/// CRIU has killed the tasks; their exits only have to be seen.
const EXIT: Duration = Duration::from_secs(10);

/// Dumps a container that runs or is paused. Whatever happens, one that runs goes on running and
/// one that is paused stays paused, unless it was to exit and was dumped.
///
/// A `client` that takes part decides, while the tasks stand still, whether it comes to its end.
///
/// Clients pause a container before they ask for its checkpoint, and resume it afterwards
/// (containerd `task.Checkpoint`, `ctr c checkpoint`). If such a client goes away meanwhile, its
/// pause ends here, as far as the shim can tell both (see [`ClientsPause`]).
///
/// Meanwhile what would disturb the dump is refused ([`crate::status`]). Kill is not: whoever
/// wants the container to end must be able to; the dump then fails.
///
/// # Errors
/// [`TaskError::Engine`] names the phase and the cause.
pub(crate) async fn checkpoint(
    shim: Arc<Shim>,
    request: CheckpointTaskRequest,
    requester: Requester,
    client: Option<HandOver>,
) -> Result<Empty, TaskError> {
    let container = shim.container(&request.id)?;
    let options = options::decode::<CheckpointOptions>(request.options.as_ref(), OPTIONS)?;
    let mut options = options.unwrap_or_default();
    field::check_checkpoint(&request, &options)?;
    check_cgroups_mode(&options.cgroups_mode)?;
    // The other options that annotations set are the engine's business.
    // A bundle that cannot be read is refused by the engine, which says in which phase.
    let policy = Policy::load(container.bundle.path()).unwrap_or_default();
    options.exit |= policy.exit;
    let permit = container.begin(Op::Checkpoint).await?;
    let before = permit.before();
    let pause = ClientsPause::of(&container, before, &request.path);
    let args = args(&container, &request, &options);
    let result = dump(&shim, &container, before, args, client).await;
    let exited = options.exit && result.is_ok();
    let after = match &result {
        Ok(()) => before,
        Err(_) => state_after_failure(&container, before).await,
    };
    permit.commit(after);
    if let Some(pause) = pause.filter(|_| !exited) {
        pause.end(&shim, &requester).await;
    }
    result?;
    if exited && time::timeout(EXIT, container.init.wait()).await.is_err() {
        tracing::warn!(id = container.id, "the container outlives its checkpoint");
    }
    tracing::info!(
        id = container.id,
        path = request.path,
        exited,
        "checkpointed"
    );
    shim.publisher
        .publish(events::checkpointed(&container.id, &request.path));
    Ok(Empty::new())
}

/// The pause of a client that made it for its checkpoint.
///
/// Nobody has asked for the container's state between the two requests: who checkpoints a
/// container that somebody else has paused, does ask (`task.Checkpoint` begins with `Status`).
struct ClientsPause<'c> {
    container: &'c Container,
    /// Where the images go, if somebody has made that directory.
    made: Option<PathBuf>,
}

impl<'c> ClientsPause<'c> {
    fn of(container: &'c Container, before: Status, image_path: &str) -> Option<Self> {
        let unseen = container.pause_unseen.swap(false, Ordering::SeqCst);
        (unseen && before == Status::Paused).then(|| Self {
            container,
            // One that the checkpoint makes itself goes with a failure.
            made: Some(PathBuf::from(image_path)).filter(|path| path.exists()),
        })
    }

    /// Ends it, if nobody is there any more to do so: the connection to containerd is broken, or
    /// containerd has removed its own directory with the images, as it does when its client goes
    /// away (`services/tasks/local.go`). A client that has named the directory itself is not seen
    /// to go away.
    async fn end(self, shim: &Shim, requester: &Requester) {
        let Self { container, made } = self;
        let removed = made.is_some_and(|path| !path.exists());
        if !requester.is_gone() && !removed {
            return;
        }
        tracing::info!(
            id = container.id,
            "the client has gone away: its pause ends"
        );
        if let Err(error) = pause::thaw(shim, container).await {
            tracing::warn!(id = container.id, %error, "the client's pause stays");
        }
    }
}

/// The state of a container after a failed dump: the one that it had, unless it could not be put
/// back into that; then whoever asks has to see it, to be able to resume the container.
async fn state_after_failure(container: &Container, before: Status) -> Status {
    match container.runc.state().await {
        Ok(RuncStatus::Running) => Status::Running,
        Ok(RuncStatus::Paused) => Status::Paused,
        _ => before,
    }
}

fn args(
    container: &Container,
    request: &CheckpointTaskRequest,
    options: &CheckpointOptions,
) -> CheckpointArgs {
    let work_path = match options.work_path.as_str() {
        "" => default_work_path(container),
        path => path.into(),
    };
    CheckpointArgs {
        image_path: request.path.clone().into(),
        work_path,
        parent_path: parent_path(options),
        leave_running: !options.exit,
        criu: CriuFlags {
            tcp_established: options.open_tcp,
            ext_unix_sk: options.external_unix_sockets,
            shell_job: options.terminal,
            file_locks: options.file_locks,
            empty_namespaces: options.empty_namespaces.clone(),
            cgroups_mode: Some(options.cgroups_mode.clone()).filter(|mode| !mode.is_empty()),
        },
        kind: Kind::default(),
    }
}

/// What runc's `--manage-cgroups-mode` takes. The stock shim drops this option.
fn check_cgroups_mode(mode: &str) -> Result<(), TaskError> {
    match mode {
        "" | "soft" | "full" | "strict" | "ignore" => Ok(()),
        _ => Err(TaskError::Invalid {
            what: "cgroups_mode",
            why: format!("{mode:?} is none of soft, full, strict and ignore"),
        }),
    }
}

fn default_work_path(container: &Container) -> PathBuf {
    container.bundle.work().join("criu-work")
}

pub(super) fn parent_path(options: &CheckpointOptions) -> Option<PathBuf> {
    match options.unknown_fields().get(PARENT_PATH)? {
        UnknownValueRef::LengthDelimited(bytes) => std::str::from_utf8(bytes)
            .ok()
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        _ => None,
    }
}

/// Dumps, and removes a working directory that nobody asked for.
async fn dump(
    shim: &Shim,
    container: &Arc<Container>,
    before: Status,
    args: CheckpointArgs,
    client: Option<HandOver>,
) -> Result<(), TaskError> {
    let work_path = args.work_path.clone();
    let result = engine::dump(shim, container, before, args, client).await;
    if work_path == default_work_path(container)
        && let Err(error) = std::fs::remove_dir_all(&work_path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, "CRIU's working directory is left over");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modes_that_runc_has() {
        for mode in ["", "soft", "full", "strict", "ignore"] {
            assert!(check_cgroups_mode(mode).is_ok());
        }
        let error = check_cgroups_mode("hard").unwrap_err();
        assert!(error.to_string().contains("\"hard\" is none of"));
    }

    #[test]
    fn the_parent_path_is_read_although_unknown() {
        assert_eq!(parent_path(&CheckpointOptions::default()), None);
        // Field 10, length-delimited, "../p".
        let options = CheckpointOptions::parse_from_bytes(b"\x52\x04../p").unwrap();
        assert_eq!(parent_path(&options), Some("../p".into()));
    }
}

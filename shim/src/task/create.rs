//! Create: mounts the root file system and runs `runc create`; for a checkpoint, which start will
//! restore, it only prepares.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32},
    },
};

use containerd_shim_protos::api::{CreateTaskRequest, CreateTaskResponse, Mount};
use remap_engine::{policy::Policy, time_limit, together};

use super::field;
use crate::{
    bundle::{self, Bundle},
    container::Container,
    error::TaskError,
    events,
    io::{Owner, Stdio},
    launch::{Launch, LaunchError, Launched},
    mounts::{self, IdMap},
    options::Options,
    own_cgroup,
    process::Process,
    runc::{Call, CreateArgs, Runc},
    shim::Shim,
    status::Machine,
};

/// Creates a container. On failure nothing of it is left: not its root file system, and not its
/// id.
///
/// # Errors
/// [`TaskError`].
pub(super) async fn create(
    shim: Arc<Shim>,
    request: CreateTaskRequest,
) -> Result<CreateTaskResponse, TaskError> {
    let options = Options::from_any(request.options.as_ref())?;
    field::check_create(&request, &options)?;
    let reservation = shim.reserve(&request.id)?;
    let container = Arc::new(prepare(&shim, &request, options)?);
    let rootfs = container.bundle.rootfs();
    mounts::mount(root_mounts(&request, &container)?, &rootfs).await?;
    let launched = match container.checkpoint {
        Some(_) => None,
        None => match launch(&shim, &container).await {
            Ok(launched) => Some(launched),
            Err(error) => {
                if let Err(error) = mounts::unmount(&rootfs) {
                    tracing::warn!(%error, "a failed create leaves its root file system");
                }
                return Err(error.during("create"));
            }
        },
    };
    let pid = launched.as_ref().map_or(0, |launched| launched.child.pid());
    tracing::info!(id = request.id, pid, "created");
    shim.publisher.publish(events::created(&request, pid));
    if let Some(launched) = launched {
        container.init_runs(launched, &shim.publisher);
    }
    reservation.fill(container);
    Ok(CreateTaskResponse {
        pid,
        ..CreateTaskResponse::default()
    })
}

/// How its root file system is mounted.
fn root_mounts(
    request: &CreateTaskRequest,
    container: &Container,
) -> Result<Vec<Mount>, TaskError> {
    let mut all = request.rootfs.clone();
    if container.checkpoint.is_some()
        && let Some(map) = IdMap::of_config(&container.bundle.config()?)
    {
        mounts::ask_for_restore(&mut all, &map)?;
    }
    Ok(all)
}

/// All that is known of the container before anything is done for it. This is also the place
/// where its `config.json` may be changed, before any runtime has read it.
fn prepare(
    shim: &Shim,
    request: &CreateTaskRequest,
    options: Options,
) -> Result<Container, TaskError> {
    let stdio = Stdio {
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
    };
    stdio.check()?;
    let bundle = Bundle::new(&request.bundle);
    let options = options.with_annotations(&bundle.config()?)?;
    let adopted = remap_engine::bundle::adopt(bundle.path())?;
    time_limit::check(&adopted)?;
    let checkpoint = [&request.checkpoint, &options.criu_image_path]
        .into_iter()
        .find(|path| !path.is_empty());
    if checkpoint.is_some() {
        own_cgroup::ensure(&bundle, &request.id)?;
    }
    let config = bundle.config()?;
    if let Err(error) = Policy::of(&adopted.annotations).check() {
        // An earlier build let it through: a checkpoint that it took must not be lost for that.
        if checkpoint.is_none() {
            return Err(error.into());
        }
        tracing::warn!(id = request.id, %error, "the container cannot be checkpointed again");
    }
    // Not into any other directory: this one has a `config.json`.
    options.save(bundle.path())?;
    Ok(Container {
        runc: Runc::new(
            &options,
            &shim.namespace,
            &request.id,
            bundle.path(),
            Arc::clone(&shim.reaper),
        ),
        checkpoint: checkpoint.map(PathBuf::from),
        shares_pid_namespace: bundle::shares_pid_namespace(&config),
        freeze_limit: time_limit::FREEZE.of(&adopted)?,
        pause_unseen: AtomicBool::new(false),
        pauses_nest: together::is_declared(&adopted),
        further_pauses: AtomicU32::new(0),
        machine: Machine::created(),
        first_cgroup: OnceLock::new(),
        took_last: std::sync::Mutex::default(),
        init: Process::new(String::new(), stdio),
        execs: std::sync::Mutex::default(),
        id: request.id.clone(),
        bundle,
        options,
    })
}

async fn launch(shim: &Shim, container: &Container) -> Result<Launched, LaunchError> {
    launch_init(shim, container)
        .run(&shim.reaper, |console| {
            Call::Create(create_args(container, console))
        })
        .await
}

/// How a container's init is launched, for create and restore.
pub(crate) fn launch_init<'a>(shim: &'a Shim, container: &'a Container) -> Launch<'a> {
    Launch {
        runc: &container.runc,
        bundle: container.bundle.path(),
        options: &container.options,
        stdio: &container.init.stdio,
        owner: Owner {
            namespace: &shim.namespace,
            id: &container.id,
        },
        pid_file: container.bundle.init_pid_file(),
        running: None,
    }
}

/// What create and restore tell runc alike.
pub(crate) fn create_args(container: &Container, console: Option<&std::path::Path>) -> CreateArgs {
    CreateArgs {
        bundle: container.bundle.path().to_owned(),
        pid_file: container.bundle.init_pid_file(),
        console_socket: console.map(PathBuf::from),
        no_pivot: container.options.no_pivot_root,
        no_new_keyring: container.options.no_new_keyring,
    }
}

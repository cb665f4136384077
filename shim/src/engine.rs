//! The remap engine, called from the task service: runc's part of its transactions.
//!
//! The engine is synchronous and runs on a blocking thread; what it asks of runc goes back to the
//! shim's own thread, where the one reaper is.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use remap_engine::{
    bundle::Bundle,
    checkpoint::{CheckpointRequest, Client, Dumper, Facts, checkpoint},
    criu::{config::UserConfig, stats},
    manifest::{DumpOptions, Durability},
    phase::{BoxError, Phase, PhaseError},
    policy::Policy,
    private,
    restore::{RestoreRequest, Restorer, restore},
    took::Took,
};
use tokio::{runtime::Handle, task};
use tracing::Span;

use crate::{
    container::Container,
    criu_log::{self, CriuFailed, Logs},
    error::TaskError,
    freezer,
    hand_over::HandOver,
    launch::{LaunchError, Launched},
    metrics::{self, Operation},
    own_cgroup,
    runc::{self, Call, CheckpointArgs, CriuFlags, Kind, Program, RestoreArgs, RuncStatus},
    shim::Shim,
    status::Status,
    task::create,
    versions,
};

/// CRIU's log of a dump, in its working directory (runc `criu_linux.go`).
const DUMP_LOG: &str = "dump.log";

/// That of a restore.
const RESTORE_LOG: &str = "restore.log";

/// The executable of this shim, also after the installed file was replaced or removed
/// (proc_pid_exe(5)).
fn own_executable() -> PathBuf {
    format!("/proc/{}/exe", std::process::id()).into()
}

/// Dumps a container by way of the engine. `before` is its state, `client` who takes part.
///
/// # Errors
/// The phase that failed. The container is as before, and of what was made only CRIU's log stays.
pub(crate) async fn dump(
    shim: &Shim,
    container: &Arc<Container>,
    before: Status,
    mut args: CheckpointArgs,
    client: Option<HandOver>,
) -> Result<(), TaskError> {
    let log = args.work_path.join(DUMP_LOG);
    let logs = Logs::of(&shim.namespace, &container.id, log);
    let failed = |source| TaskError::Engine {
        what: "checkpoint",
        log: logs.keep(),
        source,
    };
    let before_all = |error| failed(Phase::Prepare.failed(error));
    // Both at a time: the client may have the container paused.
    let program = program(container, &args.criu);
    let (program, criu) = tokio::join!(program, versions::criu(&shim.reaper));
    let program = program.map_err(before_all)?;
    args.kind = program.kind;
    if args.kind.needs_environment() {
        let wishes = wishes(container, &args.criu).map_err(before_all)?;
        args.criu = flags_of(&wishes);
    }
    let request = CheckpointRequest {
        bundle: container.bundle.path().to_owned(),
        init_pid: i32::try_from(container.init.pid()).unwrap_or_default(),
        image_dir: args.image_path.clone(),
        work_dir: args.work_path.clone(),
        exit: !args.leave_running,
        durability: match &client {
            Some(client) => client.durability(),
            None => Durability::OnDisk,
        },
        facts: Facts {
            options: options_of(&args.criu),
            versions: versions::all(Some(&program), criu),
        },
        script: own_executable(),
    };
    let dumper = RuncDumper {
        container: Arc::clone(container),
        before,
        args,
        client,
        handle: Handle::current(),
        dumping: AtomicU32::new(0),
    };
    let span = tracing::info_span!("checkpoint", id = container.id);
    let result = blocking(span, move || checkpoint(&request, &dumper)).await;
    account(shim, container, Operation::Checkpoint, result.as_ref());
    result.map(drop).map_err(failed)
}

/// Which program the container's runtime is, one that can have CRIU handle `flags`.
///
/// # Errors
/// It cannot, or does not say which it is.
async fn program(container: &Container, flags: &CriuFlags) -> Result<Program, BoxError> {
    let program = container.runc.program().await?;
    container.runc.check(program.kind, flags)?;
    Ok(program)
}

/// What CRIU is to handle at a dump, whoever says so: where the configuration counts less than what
/// the runtime asks for, the runtime has to ask for all of it.
fn wishes(container: &Container, request: &CriuFlags) -> Result<DumpOptions, BoxError> {
    let bundle = Bundle::load(container.bundle.path())?;
    let configured = UserConfig::load(bundle.user_criu_config())?;
    let annotated = Policy::of(&bundle.annotations).options;
    Ok(options_of(request).or(&configured.options()).or(&annotated))
}

/// Restores a container by way of the engine.
///
/// # Errors
/// The phase that failed. No task of the container is left, and the mounts are as before.
pub(crate) async fn bring_back(
    shim: &Arc<Shim>,
    container: &Arc<Container>,
    image_dir: PathBuf,
    work_path: PathBuf,
) -> Result<Launched, TaskError> {
    let log = work_path.join(RESTORE_LOG);
    let logs = Logs::of(&shim.namespace, &container.id, log);
    let failed = |source| TaskError::Engine {
        what: "restore",
        log: logs.keep(),
        source,
    };
    let program = program(container, &CriuFlags::default()).await;
    let Program { kind, .. } = program.map_err(|error| failed(Phase::Fit.failed(error)))?;
    let config = container.bundle.config();
    let config = config.map_err(|error| failed(Phase::Fit.failed(error)))?;
    let by_systemd = container.options.systemd_cgroup;
    // crun tells CRIU by itself.
    let is_untold = !kind.is_crun();
    let cgroup_root = is_untold.then(|| own_cgroup::unified(&config, by_systemd));
    let request = RestoreRequest {
        bundle: container.bundle.path().to_owned(),
        image_dir,
        work_dir: work_path,
        script: own_executable(),
        external: container.runc.masks(kind),
        cgroup_root: cgroup_root.flatten(),
    };
    let restorer = RuncRestorer {
        shim: Arc::clone(shim),
        container: Arc::clone(container),
        image_path: request.image_dir.clone(),
        work_path: request.work_dir.clone(),
        handle: Handle::current(),
        launched: Mutex::default(),
        kind,
        restoring: AtomicU32::new(0),
    };
    let span = tracing::info_span!("restore", id = container.id);
    let result = blocking(span, move || {
        let took = restore(&request, &restorer)?;
        let launched = restorer.launched.into_inner();
        let launched = launched
            .unwrap_or_else(PoisonError::into_inner)
            .ok_or_else(|| Phase::Restore.failed("runc restored nothing"))?;
        Ok((launched, took))
    })
    .await;
    let outcome = result.as_ref().map(|(_, took)| took);
    account(shim, container, Operation::Restore, outcome);
    result.map(|(launched, _)| launched).map_err(failed)
}

/// Takes down what an operation took, for whoever asks, and adds it to the figures of the host, for
/// which nobody waits: the client may have the container paused.
fn account(
    shim: &Shim,
    container: &Container,
    operation: Operation,
    outcome: Result<&Took, &PhaseError>,
) {
    let outcome = outcome.cloned().map_err(|error| error.phase);
    if let Ok(took) = &outcome {
        let mut took_last = container.took_last();
        let last = match operation {
            Operation::Checkpoint => &mut took_last.checkpoint,
            Operation::Restore => &mut took_last.restore,
        };
        *last = Some(took.clone());
    }
    let namespace = shim.namespace.clone();
    drop(task::spawn_blocking(move || {
        metrics::account(
            &namespace,
            operation,
            outcome.as_ref().map_err(|phase| *phase),
        );
    }));
}

/// Does `work` of the engine's on a thread that may block.
///
/// # Errors
/// That of `work`.
pub(crate) async fn blocking<T: Send + 'static>(
    span: Span,
    work: impl FnOnce() -> Result<T, PhaseError> + Send + 'static,
) -> Result<T, PhaseError> {
    match task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(result) => result,
        // Only a panic in the engine ends the thread early, and a release build aborts on it.
        Err(error) => Err(Phase::Prepare.failed(error)),
    }
}

fn options_of(criu: &CriuFlags) -> DumpOptions {
    DumpOptions {
        tcp_established: criu.tcp_established,
        ext_unix_sk: criu.ext_unix_sk,
        shell_job: criu.shell_job,
        file_locks: criu.file_locks,
        // The runtime has no flag for it: annotations and CRIU's configuration say so.
        tcp_close: false,
        empty_ns: criu.empty_namespaces.clone(),
        cgroups_mode: criu.cgroups_mode.clone(),
    }
}

fn flags_of(options: &DumpOptions) -> CriuFlags {
    CriuFlags {
        tcp_established: options.tcp_established,
        ext_unix_sk: options.ext_unix_sk,
        shell_job: options.shell_job,
        file_locks: options.file_locks,
        empty_namespaces: options.empty_ns.clone(),
        cgroups_mode: options.cgroups_mode.clone(),
    }
}

/// `runc pause` and `checkpoint`, and the end of the pause.
struct RuncDumper {
    container: Arc<Container>,
    before: Status,
    args: CheckpointArgs,
    client: Option<HandOver>,
    handle: Handle,
    /// The pid of `runc checkpoint`, or 0.
    dumping: AtomicU32,
}

impl RuncDumper {
    fn state(&self) -> Result<RuncStatus, runc::RuncError> {
        self.handle.block_on(self.container.runc.state())
    }
}

impl Dumper for RuncDumper {
    fn freeze(&self) -> Result<bool, BoxError> {
        if self.before == Status::Paused {
            return Ok(false);
        }
        self.handle.block_on(freezer::freeze(&self.container))?;
        Ok(true)
    }

    fn freeze_again(&self) -> Result<(), BoxError> {
        if self.state()? == RuncStatus::Running {
            self.handle.block_on(freezer::freeze(&self.container))?;
        }
        Ok(())
    }

    fn thaw(&self) -> Result<(), BoxError> {
        if let Err(error) = self.handle.block_on(freezer::thaw(&self.container)) {
            // A CRIU that was killed may have thawed them.
            if self.state()? != RuncStatus::Running {
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn dump(&self) -> Result<(), BoxError> {
        make_work_dir(&self.args.work_path, DUMP_LOG, stats::DUMP)?;
        let call = Call::Checkpoint(self.args.clone());
        let running = self.container.runc.start(&call)?;
        self.dumping.store(running.pid(), Ordering::SeqCst);
        let result = self.handle.block_on(running.output());
        self.dumping.store(0, Ordering::SeqCst);
        result
            .map(drop)
            .map_err(|source| CriuFailed::new(&self.args.work_path.join(DUMP_LOG), source).into())
    }

    fn has_finished(&self) -> bool {
        criu_log::says_finished(&self.args.work_path.join(DUMP_LOG))
    }

    fn client(&self) -> Option<&dyn Client> {
        self.client.as_ref().map(|client| client as &dyn Client)
    }

    fn abort(&self) {
        kill_runc(&self.container, &self.dumping);
    }
}

/// Makes CRIU's working directory, with the log: where that cannot be written CRIU fails, and there
/// would be no log to say so. Figures of an earlier operation go.
fn make_work_dir(path: &Path, log: &str, stats: &str) -> Result<(), BoxError> {
    let cannot = |what: &Path| {
        let what = what.display().to_string();
        move |source| format!("cannot make {what}: {source}")
    };
    private::create_dir(path).map_err(cannot(path))?;
    let (log, stats) = (path.join(log), path.join(stats));
    private::remove_if_exists(&stats).map_err(cannot(&stats))?;
    private::remove_if_exists(&log).map_err(cannot(&log))?;
    private::create_file(&log).map_err(cannot(&log))?;
    Ok(())
}

/// Kills the runc whose pid was noted, if it still runs.
fn kill_runc(container: &Container, noted: &AtomicU32) {
    let pid = noted.load(Ordering::SeqCst);
    if pid != 0
        && let Err(error) = container.runc.kill(pid)
    {
        tracing::debug!(%error, "runc ended before it was killed");
    }
}

/// `runc restore`.
struct RuncRestorer {
    shim: Arc<Shim>,
    container: Arc<Container>,
    image_path: PathBuf,
    work_path: PathBuf,
    handle: Handle,
    launched: Mutex<Option<Launched>>,
    /// The program.
    kind: Kind,
    /// The pid of `runc restore`, or 0.
    restoring: AtomicU32,
}

impl Restorer for RuncRestorer {
    fn restore(&self, options: Option<&DumpOptions>) -> Result<(), BoxError> {
        let criu = options.map(flags_of).unwrap_or_default();
        self.container.runc.check(self.kind, &criu)?;
        make_work_dir(&self.work_path, RESTORE_LOG, stats::RESTORE)?;
        let mut launch = create::launch_init(&self.shim, &self.container);
        launch.running = Some(&self.restoring);
        let launch = launch.run(&self.shim.reaper, |console| {
            Call::Restore(RestoreArgs {
                create: create::create_args(&self.container, console),
                image_path: self.image_path.clone(),
                work_path: self.work_path.clone(),
                criu: criu.clone(),
                kind: self.kind,
            })
        });
        let launched = self.handle.block_on(launch).map_err(|error| match error {
            LaunchError::Runc(source) => {
                let log = self.work_path.join(RESTORE_LOG);
                BoxError::from(CriuFailed::new(&log, source))
            }
            LaunchError::Other(error) => error.into(),
        })?;
        *self.launched.lock().unwrap_or_else(PoisonError::into_inner) = Some(launched);
        Ok(())
    }

    fn freeze(&self, processes: &[i32]) -> Result<(), BoxError> {
        let init = processes.first().copied().unwrap_or_default();
        Ok(freezer::Control::of(u32::try_from(init)?).freeze_only(processes)?)
    }

    fn thaw(&self, init: i32) -> Result<(), BoxError> {
        Ok(freezer::Control::of(u32::try_from(init)?).thaw()?)
    }

    fn abort(&self) {
        kill_runc(&self.container, &self.restoring);
    }

    fn discard(&self) {
        let deleted = self.container.runc.delete_restored();
        if let Err(error) = self.handle.block_on(deleted) {
            tracing::error!(%error, "runc keeps its state of the container");
        }
    }
}

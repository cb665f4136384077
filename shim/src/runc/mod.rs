//! Running runc (or a runtime with its command line) through the [`Reaper`].
//!
//! Usable from a task and, through `tokio::runtime::Handle::block_on`, from a blocking thread:
//! nothing here needs the caller to be polled by the runtime's own thread.

mod command;
mod error;
pub(crate) mod invocation;
mod kind;
pub(crate) mod log;
pub(crate) mod output;

use std::{
    ffi::OsString,
    fs::File,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use remap_engine::{criu::running, workdir::WorkDir};
use rustix::{
    fs::{MemfdFlags, Mode, memfd_create},
    process::umask,
};

use self::invocation::LogFile;
pub(crate) use self::{
    command::{Call, CheckpointArgs, CreateArgs, CriuFlags, ExecArgs, RestoreArgs},
    error::RuncError,
    invocation::{Captured, Invocation},
    kind::{Kind, KindError, Program},
    output::RuncStatus,
};
use crate::{
    mounts::{self, MountError},
    options::Options,
    reaper::{Reaper, ReaperError},
    signal::Signal,
};

/// Where runc keeps its state when the options name no root, as the Go shim has it.
const DEFAULT_ROOT: &str = "/run/containerd/runc";

/// Where a restore binds the root file system.
const RESTORE_ROOT: &str = "criu-root";

/// So often runc is called if it is killed each time.
pub(crate) const CALLS: u32 = 3;

/// Numbers the files that belong to one invocation.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// The runtime, set up for one container.
#[derive(Clone, Debug)]
pub(crate) struct Runc {
    binary: OsString,
    root: PathBuf,
    systemd_cgroup: bool,
    id: String,
    bundle: PathBuf,
    reaper: Arc<Reaper>,
}

/// The standard streams of a new container process, also runc's own while it starts it.
#[derive(Debug)]
pub(crate) struct ChildStdio {
    /// Descriptor 0.
    pub(crate) stdin: OwnedFd,
    /// Descriptor 1.
    pub(crate) stdout: OwnedFd,
    /// Descriptor 2.
    pub(crate) stderr: OwnedFd,
}

impl Runc {
    /// The runtime that `options` ask for.
    pub(crate) fn new(
        options: &Options,
        namespace: &str,
        id: &str,
        bundle: &Path,
        reaper: Arc<Reaper>,
    ) -> Self {
        Self {
            binary: binary(options),
            root: root(options, namespace),
            systemd_cgroup: options.systemd_cgroup,
            id: id.to_owned(),
            bundle: bundle.to_owned(),
            reaper,
        }
    }

    /// Runs `call` to its end and returns its standard output.
    ///
    /// # Errors
    /// [`RuncError`], with the last error that runc logged. What that means for the container is
    /// up to the command.
    pub(crate) async fn run(&self, call: &Call) -> Result<Vec<u8>, RuncError> {
        self.start(call)?.output().await
    }

    /// Starts `call`, with its output captured.
    ///
    /// # Errors
    /// [`RuncError::Spawn`] when runc itself cannot be started.
    pub(crate) fn start(&self, call: &Call) -> Result<Captured, RuncError> {
        let capture = |stream| {
            let file = memfd_create(stream, MemfdFlags::CLOEXEC)
                .map_err(|errno| self.spawn_error(call, errno.into()))?;
            Ok::<_, RuncError>(File::from(file))
        };
        let (stdout, stderr) = (capture("runc-stdout")?, capture("runc-stderr")?);
        let clone = |file: &File| {
            file.try_clone()
                .map(Stdio::from)
                .map_err(|source| self.spawn_error(call, source))
        };
        let invocation = self.spawn(call, |command| {
            command
                .stdin(Stdio::null())
                .stdout(clone(&stdout)?)
                .stderr(clone(&stderr)?);
            Ok(())
        })?;
        Ok(Captured {
            invocation,
            stdout,
            stderr,
        })
    }

    /// Lets the processes of the container run again. A runc that is killed meanwhile is called
    /// again: it may have done half of it, and nobody else will do the rest.
    ///
    /// # Errors
    /// [`RuncError`]; they stay frozen.
    pub(crate) async fn resume(&self) -> Result<(), RuncError> {
        let mut result = self.run(&Call::Resume).await;
        for _ in 1..CALLS {
            match &result {
                Err(error) if error.was_killed() => {
                    tracing::warn!(%error, "looking what became of the container");
                }
                _ => break,
            }
            if self.state().await? == RuncStatus::Running {
                return Ok(());
            }
            result = self.run(&Call::Resume).await;
        }
        result.map(drop)
    }

    /// Ends whatever there is of a container whose restore was cut short.
    ///
    /// # Errors
    /// Its root file system stays mounted, and nothing was deleted.
    pub(crate) async fn delete_restored(&self) -> Result<(), MountError> {
        unmount_restore_root(&self.root, &self.id, &self.bundle)?;
        if let Err(error) = self.run(&Call::Delete { force: true }).await {
            tracing::debug!(%error, "there was nothing of the container to delete");
        }
        Ok(())
    }

    /// Kills a runc that [`Runc::start`] has started; what it has started itself goes on.
    ///
    /// # Errors
    /// [`ReaperError`]; it has ended by itself.
    pub(crate) fn kill(&self, pid: u32) -> Result<(), ReaperError> {
        self.reaper.kill(pid, Signal::KILL)
    }

    /// Starts `create`, `exec` or `restore` with the new process's standard streams.
    ///
    /// # Errors
    /// [`RuncError::Spawn`] when runc itself cannot be started.
    pub(crate) fn spawn_with(&self, call: &Call, io: ChildStdio) -> Result<Invocation, RuncError> {
        self.spawn(call, |command| {
            command.stdin(io.stdin).stdout(io.stdout).stderr(io.stderr);
            Ok(())
        })
    }

    /// What runc takes the container's state to be.
    ///
    /// # Errors
    /// [`RuncError`]; also when runc's answer is not what runc(8) promises.
    pub(crate) async fn state(&self) -> Result<RuncStatus, RuncError> {
        self.ask(&Call::State, output::state).await
    }

    /// The pids of the container's processes, in the shim's pid namespace.
    ///
    /// # Errors
    /// As [`Runc::state`].
    pub(crate) async fn pids(&self) -> Result<Vec<u32>, RuncError> {
        self.ask(&Call::Ps, output::pids).await
    }

    /// Asks runc; one that is killed meanwhile is asked again.
    async fn ask<T>(
        &self,
        call: &Call,
        read: fn(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T, RuncError> {
        let mut result = self.run(call).await;
        for _ in 1..CALLS {
            if !matches!(&result, Err(error) if error.was_killed()) {
                break;
            }
            result = self.run(call).await;
        }
        read(&result?).map_err(|source| RuncError::Output {
            command: call.name(),
            id: self.id.clone(),
            source,
        })
    }

    fn spawn(
        &self,
        call: &Call,
        streams: impl FnOnce(&mut Command) -> Result<(), RuncError>,
    ) -> Result<Invocation, RuncError> {
        let log = self.bundle.join(format!(
            "runc-{}.log",
            SERIAL.fetch_add(1, Ordering::Relaxed)
        ));
        let mut command = Command::new(&self.binary);
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.args(call.argv(&self.id)).current_dir(&self.bundle);
        streams(&mut command)?;
        if matches!(call, Call::Checkpoint(_)) {
            private_files(&mut command);
        }
        if matches!(call, Call::Restore(_)) {
            private_mounts(&mut command);
        }
        if let Some(images) = call.image_path() {
            command.env(running::MARK, images);
        }
        if call.needs_environment() {
            let config = WorkDir::of(&self.bundle).criu_config();
            command.env(kind::CONFIG_VARIABLE, config);
        }
        let child = self
            .reaper
            .spawn(&mut command)
            .map_err(|source| self.spawn_error(call, source))?;
        Ok(Invocation {
            command: call.name(),
            child,
            log: LogFile(log),
        })
    }

    fn spawn_error(&self, call: &Call, source: std::io::Error) -> RuncError {
        RuncError::Spawn {
            binary: self.binary.clone(),
            command: call.name(),
            source,
        }
    }
}

/// Gives a command a file mode creation mask with which only its owner can read what it makes:
/// images hold process memory, and CRIU makes some of them readable by all (`CR_FD_PERM`).
fn private_files(command: &mut Command) {
    let mask = || {
        umask(Mode::RWXG | Mode::RWXO);
        Ok(())
    };
    // SAFETY: umask(2) is async-signal-safe (signal-safety(7)), and the closure does nothing else.
    unsafe { command.pre_exec(mask) };
}

/// Gives a command mounts of its own, into which those that the host makes still come.
///
/// For its restore runc binds each source with all that is mounted below it and unmounts that again
/// (`prepareCriuRestoreMounts`). Where the source is shared with the host, as all mounts are under
/// systemd, the unmount would reach what the host has mounted there (mount_namespaces(7)).
fn private_mounts(command: &mut Command) {
    let mounts = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, slave, None::<&str>)?;
        Ok(())
    };
    // SAFETY: the closure makes two system calls and allocates nothing, as both paths are short.
    unsafe { command.pre_exec(mounts) };
}

/// The program to run: `binary_name` of the options, else `runc` from PATH.
pub(crate) fn binary(options: &Options) -> OsString {
    if options.binary_name.is_empty() {
        "runc".into()
    } else {
        options.binary_name.clone().into()
    }
}

/// The runtime's state directory, one for each containerd namespace.
pub(crate) fn root(options: &Options, namespace: &str) -> PathBuf {
    let base = if options.root.is_empty() {
        DEFAULT_ROOT
    } else {
        &options.root
    };
    Path::new(base).join(namespace)
}

/// Unmounts what a `restore` that was killed has left: runc binds the root file system on `criu-root`
/// in its state directory (`criuRestore`), crun in the bundle, where its next restore fails if it is
/// still there (`libcrun_container_restore_linux_criu`). Must be done before `runc delete --force`,
/// which removes its directory with all that it finds there, files of the container as well.
///
/// # Errors
/// It stays mounted.
pub(crate) fn unmount_restore_root(
    state: &Path,
    id: &str,
    bundle: &Path,
) -> Result<(), MountError> {
    mounts::unmount(&state.join(id).join(RESTORE_ROOT))?;
    let cruns = bundle.join(RESTORE_ROOT);
    mounts::unmount(&cruns)?;
    if let Err(error) = std::fs::remove_dir(&cruns)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %cruns.display(), "a mount point of crun's stays");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_apart_by_namespace() {
        let mut options = Options::default();
        assert_eq!(
            root(&options, "k8s.io"),
            Path::new("/run/containerd/runc/k8s.io")
        );
        options.root = "/r".into();
        assert_eq!(root(&options, "default"), Path::new("/r/default"));
        assert_eq!(binary(&options), "runc");
        options.binary_name = "/usr/bin/crun".into();
        assert_eq!(binary(&options), "/usr/bin/crun");
    }
}

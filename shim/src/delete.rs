//! The `delete` action: containerd runs it when a shim has died, or never came up. Everything of
//! the container ends, and what the shim left outside the bundle (which containerd removes) goes.

use std::{env, io::Write, path::PathBuf, process::Command, time::SystemTime};

use anyhow::{Context, Result};
use containerd_shim_protos::{
    api::DeleteResponse,
    protobuf::{Message, MessageField},
};

use remap_engine::checkpoint::Interrupted;

use crate::{
    args::Flags,
    bundle::{self, Bundle},
    mounts,
    options::Options,
    runc, socket,
};

/// Performs the action and prints a `DeleteResponse`. Each step is tried, whatever became of the
/// one before: what one cannot clean up, another still may.
///
/// # Errors
/// When the bundle cannot be found, a restore that was under way cannot be taken back (the bundle
/// then has to stay), or the response cannot be printed.
pub(crate) fn delete(flags: &Flags) -> Result<()> {
    let directory = if flags.bundle.as_os_str().is_empty() {
        env::current_dir().context("cannot tell the bundle's path")?
    } else {
        flags.bundle.clone()
    };
    let bundle = Bundle::new(directory);
    // Already now: containerd kills an action that takes too long.
    remove_socket(&bundle);
    let runc = Runc::of(flags, &bundle);
    if let Some(interrupted) = Interrupted::find(bundle.path(), init_pid(&bundle)) {
        // Killed first, no task runs on when CRIU lets go; and as long as CRIU holds them, they
        // are not quite gone, for which runc would wait.
        runc.run(&["kill", &flags.id, "KILL"]);
        if let Err(error) = interrupted.take_back() {
            tracing::error!(error, "a partial checkpoint cannot be removed");
        }
    }
    if let Err(error) = remap_engine::restore::end_tasks(bundle.path()) {
        tracing::error!(error, "tasks of a restore that was under way do not end");
    }
    match runc::unmount_restore_root(&runc.root, &flags.id, bundle.path()) {
        Ok(()) => runc.run(&["delete", "--force", &flags.id]),
        Err(error) => tracing::error!(%error, "runc would remove files of the container"),
    }
    let recovered = remap_engine::restore::recover(bundle.path());
    if let Err(error) = mounts::unmount(&bundle.rootfs()) {
        tracing::warn!(%error, "cannot unmount the root file system");
    }
    // A shim that was just being killed may still have listened before.
    remove_socket(&bundle);
    // containerd removes the bundle after a success, and with it the old contents of mounts.
    recovered.map_err(anyhow::Error::from_boxed)?;
    let response = DeleteResponse {
        pid: init_pid(&bundle).unsigned_abs(),
        exit_status: 128 + 9,
        exited_at: MessageField::some(SystemTime::now().into()),
        ..DeleteResponse::default()
    };
    let bytes = response
        .write_to_bytes()
        .context("cannot encode the response")?;
    std::io::stdout()
        .write_all(&bytes)
        .context("cannot print the response")
}

/// The container's init; 0 if it never had one.
fn init_pid(bundle: &Bundle) -> i32 {
    let pid = bundle::read_pid(&bundle.init_pid_file()).unwrap_or_default();
    pid.try_into().unwrap_or_default()
}

/// The runtime of the container.
struct Runc {
    options: Options,
    root: PathBuf,
}

impl Runc {
    fn of(flags: &Flags, bundle: &Bundle) -> Self {
        let options = Options::load(bundle.path()).unwrap_or_else(|error| {
            tracing::warn!(%error, "the container's options are lost; trying the defaults");
            Options::default()
        });
        let root = runc::root(&options, &flags.namespace);
        Self { options, root }
    }

    fn run(&self, args: &[&str]) {
        let output = Command::new(runc::binary(&self.options))
            .arg("--root")
            .arg(&self.root)
            .args(self.options.systemd_cgroup.then_some("--systemd-cgroup"))
            .args(args)
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => tracing::warn!(
                ?args,
                status = %output.status,
                stderr = %String::from_utf8_lossy(&output.stderr).trim(),
                "runc failed"
            ),
            Err(error) => tracing::warn!(?args, %error, "cannot run runc"),
        }
    }
}

/// A shim that was killed leaves its socket. The one of a group may still serve others.
fn remove_socket(bundle: &Bundle) {
    let path = match bundle.read_address() {
        Ok(path) => path,
        Err(error) => {
            tracing::debug!(%error, "the start never got as far as a socket");
            return;
        }
    };
    if path.exists()
        && !socket::is_alive(&path)
        && let Err(error) = socket::remove(&path)
    {
        tracing::warn!(%error, path = %path.display(), "cannot remove the dead shim's socket");
    }
}

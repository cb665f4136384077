//! The `start` action: make sure that a shim serves the container's group, and print its address.
//!
//! The serving shim offers versions 2 and 3 of the task API; which one containerd takes depends on
//! the [`Dialect`](bootstrap::Dialect) of the answer.

use std::{
    env,
    io::Write,
    os::fd::OwnedFd,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    args::Flags,
    bootstrap::{self, Params},
    bundle::{self, Bundle},
    shim_cgroup, socket,
};

/// Performs the action. On failure no shim was started and no socket is left.
///
/// # Errors
/// Whatever keeps the shim from being started.
pub(crate) fn start(flags: &Flags) -> Result<()> {
    let params = bootstrap::read(flags).context("cannot read containerd's parameters")?;
    // containerd runs the action in the bundle.
    let bundle = Bundle::new(env::current_dir().context("cannot tell the bundle's path")?);
    let config = bundle.config()?;
    let group = bundle::group(&config, &flags.id);
    let path = socket::path(
        &params.address,
        &flags.namespace,
        group,
        params.socket_dir.as_deref(),
    );
    let listener =
        socket::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    if let Some(listener) = listener {
        let spawned = bundle
            .write_address(&path)
            .map_err(anyhow::Error::from)
            .and_then(|()| spawn(flags, &params, group, listener.into()));
        if let Err(error) = spawned {
            // The caller learns the first error; a socket that stays is taken over next time.
            let _ = socket::remove(&path);
            return Err(error);
        }
    } else {
        bundle.write_address(&path)?;
    }
    let address = format!("{}{}", socket::SCHEME, path.display());
    print(&params.dialect.answer(address)?)
}

/// Starts the serving shim with the socket at its standard input. Nothing of containerd's
/// standard output is handed on: containerd reads that to its end.
fn spawn(flags: &Flags, params: &Params, group: &str, listener: OwnedFd) -> Result<()> {
    let program = env::current_exe().context("cannot find the shim's own program")?;
    let mut command = Command::new(program);
    // The name by which containerd called it, which is what process listings show.
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    command
        .args(["-namespace", &flags.namespace, "-id", group])
        .args(["-address", &params.address])
        .args(params.debug.then_some("-debug"))
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    if let Some(address) = &params.ttrpc_address {
        command.env(bootstrap::TTRPC_ADDRESS, address);
    }
    let mut child = command.spawn().context("cannot start the serving shim")?;
    let placed = shim_cgroup::join(&params.options.shim_cgroup, child.id());
    if let Err(error) = placed {
        // It has no container yet, so nothing is lost with it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(error).context("cannot put the shim into the cgroup of its options");
    }
    raise_oom_score(child.id());
    Ok(())
}

/// Lets the kernel end the shim a little before containerd itself, as the Go shim does. Not being
/// able to is no reason to fail.
fn raise_oom_score(pid: u32) {
    let parent = nix::unistd::getppid();
    let score = std::fs::read_to_string(format!("/proc/{parent}/oom_score_adj"))
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok())
        .map(|score| score.saturating_add(1).min(1000));
    if let Some(score) = score {
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string());
    }
}

fn print(answer: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(answer)
        .and_then(|()| stdout.flush())
        .context("cannot print the address")
}

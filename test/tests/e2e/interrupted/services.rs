//! A dump in the middle of which the shim, containerd or the client is killed.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use remap_test::ctr::Status;
use remap_test::{Containerd, Runtime, wait};

use super::ground::Ground;
use super::processes::{expect_no_helpers, kill_shim};
use super::window::Stage;
use crate::context::Context;
use crate::workload::{ID, LIMIT};

/// The shim, while CRIU waits for its script.
pub(super) fn shim(context: &Context) -> Result<()> {
    for exit in [false, true] {
        let ground = Ground::new(context, "sem-creator-first")?;
        let names = ground.shm.names()?;
        ground.window.close(Stage::PostDump)?;
        let checkpoint = ground.checkpoint(exit)?;
        ground.window.wait()?;
        kill_shim(context.a(), ID)?;
        ground.expect_failure(checkpoint, &[])?;
        ground.assert_ended(context, &names)?;
    }
    Ok(())
}

/// The shim, while the engine holds CRIU.
pub(super) fn shim_when_held(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    ground.fill(100)?;
    let names = ground.shm.names()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    ground.window.open()?;
    let archive = context
        .a()
        .path(format!("{}/remap-mount-0.tar", ground.images));
    ensure!(
        wait::until(LIMIT, || Ok(archive.exists()))?,
        "the capture does not begin"
    );
    kill_shim(context.a(), ID)?;
    ground.expect_failure(checkpoint, &[])?;
    ground.assert_ended(context, &names)
}

/// containerd. The client fails, and the dump goes on to its end: afterwards there is
/// a checkpoint, and the container is as the client has left it, that is, paused
/// (with any shim).
pub(super) fn containerd(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    let daemon = Containerd::of(context.a());
    context.a().shell("kill -KILL $(cat /run/containerd.pid)")?;
    ground.expect_failure(checkpoint, &[])?;
    ensure!(
        wait::until(LIMIT, || Ok(daemon.pid()?.is_none()))?,
        "containerd does not end"
    );
    daemon.ensure(Runtime::DropIn.lookup())?;
    ground.window.open()?;
    settle(&ground)?;
    ground.assert_paused_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// The client.
pub(super) fn client(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    checkpoint.signal(Signal::SIGKILL)?;
    checkpoint.finish(LIMIT)?;
    ground.window.open()?;
    settle(&ground)?;
    ground.assert_paused_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// Waits for the end of a dump for which nobody waits any more. It has succeeded.
fn settle(ground: &Ground) -> Result<()> {
    let host = ground.ctr.host();
    expect_no_helpers(host)?;
    ground.ctr.wait_for(ID, &Status::Paused, LIMIT)?;
    // The manifest comes last, when the tasks could run again.
    let manifest = host.path(format!("{}/remap-manifest.json", ground.images));
    ensure!(
        wait::until(LIMIT, || Ok(manifest.exists()))?,
        "the checkpoint is not completed"
    );
    host.shell(&format!("rm -r {}", ground.images))?;
    Ok(())
}

//! A dump in the middle of which the shim, containerd or the client is killed.

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use remap_test::ctr::Status;
use remap_test::exec::Background;
use remap_test::{Containerd, Runtime, wait};

use super::ground::Ground;
use super::processes::{expect_no_helpers, kill_shim, signal};
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
/// a checkpoint, and the container runs, though its client has paused it and can no longer
/// resume it.
pub(super) fn containerd(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    restart_containerd(context, || ground.expect_failure(checkpoint, &[]))?;
    ground.window.open()?;
    settle(&ground, &Status::Running)?;
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// containerd, while the container is paused by its user.
pub(super) fn containerd_paused(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.ctr.pause(ID)?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    restart_containerd(context, || ground.expect_failure(checkpoint, &[]))?;
    ground.window.open()?;
    settle(&ground, &Status::Paused)?;
    ground.assert_paused_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// The client of a checkpoint into containerd's store. containerd removes the directory with
/// the images under the dump; the container runs, though its client has paused it and
/// can no longer resume it.
pub(super) fn client(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground
        .ctr
        .command(["container", "checkpoint", "--task", ID, "remap.test/lost:1"])
        .spawn()?;
    ground.window.wait()?;
    checkpoint.signal(Signal::SIGKILL)?;
    checkpoint.finish(LIMIT)?;
    // By this the shim learns of it; a dump that ends before is one for a client that lives.
    let line = "ls -d /tmp/ctrd-checkpoint* 2>/dev/null | wc -l";
    let removed = || Ok(context.a().shell(line)?.text() == "0");
    ensure!(
        wait::until(LIMIT, removed)?,
        "containerd keeps the directory with the images"
    );
    ground.window.open()?;
    expect_no_helpers(context.a())?;
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// The client of a checkpoint into a directory of its own: nothing tells the shim that it is
/// gone, so its pause stays, as with the stock shim.
pub(super) fn client_of_directory(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    checkpoint.signal(Signal::SIGKILL)?;
    checkpoint.finish(LIMIT)?;
    ground.window.open()?;
    settle(&ground, &Status::Paused)?;
    ground.assert_paused_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// Kills containerd, does `meanwhile` as soon as it is killed, and starts it again.
fn restart_containerd(context: &Context, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    let daemon = Containerd::of(context.a());
    context.a().shell("kill -KILL $(cat /run/containerd.pid)")?;
    meanwhile()?;
    ensure!(
        wait::until(LIMIT, || Ok(daemon.pid()?.is_none()))?,
        "containerd does not end"
    );
    daemon.ensure(Runtime::DropIn.lookup())
}

/// Waits for the end of a dump for which nobody waits any more. It has succeeded.
fn settle(ground: &Ground, status: &Status) -> Result<()> {
    let host = ground.ctr.host();
    expect_no_helpers(host)?;
    ground.ctr.wait_for(ID, status, LIMIT)?;
    // The manifest comes last, when the tasks could run again.
    let manifest = host.path(format!("{}/remap-manifest.json", ground.images));
    ensure!(
        wait::until(LIMIT, || Ok(manifest.exists()))?,
        "the checkpoint is not completed"
    );
    host.shell(&format!("rm -r {}", ground.images))?;
    Ok(())
}

/// Starts a checkpoint by the stock shim, which may be unable to freeze the container on
/// a machine with much to do, and waits until CRIU has stopped.
fn begin(ground: &Ground) -> Result<Background> {
    for _ in 0..10 {
        let checkpoint = ground.checkpoint(false)?;
        let gone = || Ok(ground.window.is_reached() || !checkpoint.is_running()?);
        ensure!(wait::until(LIMIT, gone)?, "CRIU does not come to the stage");
        if ground.window.is_reached() {
            return Ok(checkpoint);
        }
        checkpoint.finish(LIMIT)?;
    }
    bail!("it cannot be frozen")
}

/// What there is to repair: with the stock shim a container stays paused for good when
/// CRIU or runc is killed.
pub(super) fn stock(context: &Context) -> Result<()> {
    for program in ["criu", "runc"] {
        let ground = Ground::new(context, "sem-user-first")?;
        ground.window.close(Stage::PostDump)?;
        let checkpoint = begin(&ground)?;
        signal(context.a(), "KILL", program)?;
        ground.expect_failure(checkpoint, &[])?;
        ground.window.open()?;
        expect_no_helpers(context.a())?;
        ground.ctr.wait_for(ID, &Status::Paused, LIMIT)?;
        let exec = ground.ctr.exec(ID, &["true"])?;
        ensure!(exec.exit_code() != 0, "it can be used: {exec:?}");
        ground.ctr.remove(ID)?;
    }
    Ok(())
}

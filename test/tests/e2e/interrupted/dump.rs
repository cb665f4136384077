//! A dump of which a process is killed.

use anyhow::Result;
use remap_test::ctr::Status;

use super::ground::Ground;
use super::processes::{expect_no_helpers, signal};
use super::window::Stage;
use crate::context::Context;
use crate::workload::{ID, LIMIT};

/// CRIU, when all images are written.
pub(super) fn criu_late(context: &Context) -> Result<()> {
    for exit in [false, true] {
        end(context, Stage::PostDump, exit, "criu")?;
    }
    Ok(())
}

/// CRIU, when the tasks are frozen.
pub(super) fn criu_early(context: &Context) -> Result<()> {
    end(context, Stage::NetworkLock, false, "criu")
}

/// runc; its CRIU goes on alone, and what it finishes is undone.
pub(super) fn runc(context: &Context) -> Result<()> {
    end(context, Stage::PostDump, false, "runc")
}

/// The script by which the engine holds CRIU.
pub(super) fn script(context: &Context) -> Result<()> {
    for exit in [false, true] {
        let ground = Ground::new(context, "sem-creator-first")?;
        // So much to carry that there is time.
        ground.fill(100)?;
        let before = ground.look()?;
        ground.window.close(Stage::PostDump)?;
        let checkpoint = ground.checkpoint(exit)?;
        ground.window.wait()?;
        let kill = context
            .a()
            .command("sh")
            .args(["-c", "until pkill --signal KILL -x remap-hook; do :; done"])
            .spawn()?;
        ground.window.open()?;
        ground.expect_failure(checkpoint, &["phase dump"])?;
        kill.finish(LIMIT)?.ok()?;
        ground.assert_as_before(&before)?;
        ground.ctr.remove(ID)?;
    }
    Ok(())
}

/// runc, when the container is to end: what CRIU finishes is a checkpoint.
pub(super) fn runc_at_exit(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    ground.window.close(Stage::PostDump)?;
    let names = ground.shm.names()?;
    let checkpoint = ground.checkpoint(true)?;
    ground.window.wait()?;
    signal(context.a(), "KILL", "runc")?;
    ground.window.open()?;
    checkpoint.finish(LIMIT)?.ok()?;
    ground.ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
    let manifest = format!("{}/remap-manifest.json", ground.images);
    context.a().read_file(&manifest)?;
    expect_no_helpers(context.a())?;
    ground.shm.expect_names(&names)?;
    ground.ctr.remove(ID)
}

fn end(context: &Context, stage: Stage, exit: bool, program: &str) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    ground.window.close(stage)?;
    let checkpoint = ground.checkpoint(exit)?;
    ground.window.wait()?;
    signal(context.a(), "KILL", program)?;
    if program != "criu" {
        ground.window.open()?;
    }
    ground.expect_failure(checkpoint, &["phase dump"])?;
    ground.window.open()?;
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// CRIU, while the container is paused by its user. (It may run for a moment: a
/// CRIU that is killed leaves it thawed.)
pub(super) fn paused(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "counter")?;
    let before = ground.look()?;
    ground.ctr.pause(ID)?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    signal(context.a(), "KILL", "criu")?;
    ground.expect_failure(checkpoint, &["phase dump"])?;
    ground.window.open()?;
    ground.assert_paused_as_before(&before)?;
    ground.ctr.remove(ID)
}

//! A dump that takes too long, or finds no room.

use anyhow::{Result, ensure};

use super::ground::Ground;
use super::processes::signal;
use super::window::Stage;
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::ID;

/// The annotation that limits a dump.
const DUMP_SECONDS: &str = "io.remap.dump-timeout-seconds";

/// A script of the user's does not return.
pub(super) fn script_hangs(context: &Context) -> Result<()> {
    expires(context, |_| Ok(()))
}

/// CRIU does nothing any more.
pub(super) fn criu_hangs(context: &Context) -> Result<()> {
    expires(context, |ground| {
        signal(ground.ctr.host(), "STOP", "criu")?;
        ground.window.open()
    })
}

fn expires(context: &Context, and: impl FnOnce(&Ground) -> Result<()>) -> Result<()> {
    let ground = Ground::with(context, "sem-creator-first", |run| {
        run.annotation(DUMP_SECONDS, "2")
    })?;
    let before = ground.look()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    and(&ground)?;
    ground.expect_failure(checkpoint, &["within 2 s", DUMP_SECONDS])?;
    ground.window.open()?;
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// CRIU's images do not fit.
pub(super) fn no_room_for_images(context: &Context) -> Result<()> {
    no_room(context, |_| Ok(1 << 20), &["phase dump", "No space left"])
}

/// They do, and the contents of the tmpfs do not.
pub(super) fn no_room_for_contents(context: &Context) -> Result<()> {
    let parts = ["phase capture", "No space left", "/dev/shm"];
    no_room(
        context,
        |ground| Ok(image_bytes(ground)? + (10 << 20)),
        &parts,
    )
}

fn no_room(
    context: &Context,
    bytes: impl FnOnce(&Ground) -> Result<u64>,
    parts: &[&str],
) -> Result<()> {
    let mut ground = Ground::new(context, "sem-creator-first")?;
    let bytes = bytes(&ground)?;
    ground.fill(20)?;
    let before = ground.look()?;
    let room = Shm::mount(context.a(), "room")?;
    let line = format!("mount -o remount,size={bytes} {}", room.path());
    context.a().shell(&line)?;
    ground.images = room.file("images");
    for exit in [false, true] {
        ground.expect_failure(ground.checkpoint(exit)?, parts)?;
        ensure!(room.names()?.is_empty(), "left: {}", room.names()?);
        ground.assert_as_before(&before)?;
    }
    ground.ctr.remove(ID)
}

/// The size of a checkpoint of the container as it is.
fn image_bytes(ground: &Ground) -> Result<u64> {
    let images = format!("{}/measured", ground.dir);
    ground
        .ctr
        .checkpoint_task(ID, &images, &format!("{images}-work"), false)?;
    let line = format!("du --summarize --block-size=1 {images} | cut -f 1");
    Ok(ground.ctr.host().shell(&line)?.text().parse()?)
}

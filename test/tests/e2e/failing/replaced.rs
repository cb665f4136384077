//! Somebody replaces or changes a file while the container is checkpointed.

use anyhow::{Context as _, Result, ensure};
use remap_test::{FailingFs, Failure, wait};

use super::in_turn;
use crate::context::Context;
use crate::interrupted::ground::{Ground, bundle};
use crate::interrupted::window::Stage;
use crate::workload::{ID, LIMIT};

/// An image, when CRIU has written it.
pub(super) fn image_lost(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    let changes = [
        ("rm files.img", "files.img"),
        ("truncate --size 100 files.img", "files.img"),
        ("rm files.img && mkdir files.img", "files.img"),
        (
            "rm inventory.img && ln -s /etc/hostname inventory.img",
            "inventory.img",
        ),
        ("mkdir remap-mount-0.tar", "remap-mount-0.tar"),
    ];
    for ((change, name), exit) in changes.into_iter().zip(in_turn()) {
        let case = || format!("{change}, exit: {exit}");
        ground.window.close(Stage::PostDump)?;
        let checkpoint = ground.checkpoint(exit)?;
        ground.window.wait()?;
        let images = &ground.images;
        context.a().shell(&format!("cd {images} && {change}"))?;
        ground.window.open()?;
        let failed = ground.expect_failure(checkpoint, &["phase ", name]);
        failed.with_context(case)?;
        // What is not CRIU's is not the engine's to remove.
        let line = format!("[ ! -d {images}/{name} ] || rmdir {images}/{name} {images}");
        context.a().shell(&line)?;
        ground.assert_as_before(&before).with_context(case)?;
    }
    ground.ctr.remove(ID)
}

/// The source of the bind: what the container has is carried, not what is there now.
pub(super) fn source(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    let path = ground.shm.path();
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    context.a().shell(&format!(
        "mount -t tmpfs other {path} && echo other >{path}/other"
    ))?;
    ground.window.open()?;
    let output = checkpoint.finish(LIMIT)?;
    context.a().shell(&format!("umount {path}"))?;
    output.ok()?;
    let line = format!("tar -tf {}/remap-mount-0.tar", ground.images);
    let listed = context.a().shell(&line)?;
    ensure!(
        listed.text().contains("sem.scenario") && !listed.text().contains("other"),
        "there are {}",
        listed.text()
    );
    ensure!(ground.take_checkpoint()?, "no checkpoint");
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)
}

/// A file of the carried mount, in the middle of its being saved.
pub(super) fn contents(context: &Context) -> Result<()> {
    let mut ground = Ground::new(context, "sem-creator-first")?;
    let (path, hold) = (
        format!("{}/failing", ground.dir),
        format!("{}/hold", ground.dir),
    );
    ground.images = format!("{path}/images");
    let changes = ["truncate --size 1M filling", "echo more >>filling"];
    for (change, exit) in changes.into_iter().zip(in_turn()) {
        let case = || format!("{change}, exit: {exit}");
        ground.fill(20)?;
        context.a().write_file(&hold, "")?;
        let effect = format!("hold:{hold}");
        let failure = Failure {
            operation: "write",
            name: "remap-mount-0.tar",
            effect: &effect,
            skip: 5,
        };
        let _at = FailingFs::mount(context.a(), &path, &[failure])?;
        let checkpoint = ground.checkpoint(exit)?;
        let reached = context.a().path(format!("{hold}.reached"));
        let held = wait::until(LIMIT, || Ok(reached.exists()))?;
        ensure!(held, "the file is not saved");
        context
            .a()
            .shell(&format!("cd {} && {change}", ground.shm.path()))?;
        context.a().shell(&format!("rm {hold} {hold}.reached"))?;
        let parts = ["phase capture", "/dev/shm", "filling"];
        ground
            .expect_failure(checkpoint, &parts)
            .with_context(case)?;
        let before = ground.look()?;
        ground.assert_as_before(&before).with_context(case)?;
    }
    ground.ctr.remove(ID)
}

/// What the bundle says of the container cannot be read.
pub(super) fn bundle_unreadable(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    let dir = bundle();
    for change in ["true", "mkdir config.json", "echo '{' >config.json"] {
        let shell = |line: &str| context.a().shell(&format!("cd {dir} && {line}"));
        shell(&format!("mv config.json kept.json && {change}"))?;
        let checkpoint = ground.checkpoint(false)?;
        let failure = ground.expect_failure(checkpoint, &["phase prepare", "config.json"]);
        shell("rm -rf config.json && mv kept.json config.json")?;
        failure.with_context(|| change)?;
        ground.assert_as_before(&before).with_context(|| change)?;
    }
    ground.ctr.remove(ID)
}

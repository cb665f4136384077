//! A restore that is interrupted: no task of the container is left, its tmpfs is as
//! it was, and the next restore succeeds.

use anyhow::{Context as _, Result, ensure};
use remap_test::Ctr;
use remap_test::ctr::Run;
use remap_test::exec::Background;
use remap_test::wait;

use super::ground::{Ground, bundle, expect_failure};
use super::processes::{expect_no_helpers, kill_shim, signal};
use super::window::Stage;
use crate::context::Context;
use crate::exported;
use crate::workload::{ID, LIMIT, Probe};

const IMAGE: &str = "remap.test/interrupted:1";

/// The annotation that limits a restore.
const SECONDS: &str = "io.remap.restore-timeout-seconds";

/// A container that has a checkpoint and is gone; in its tmpfs there are other files.
struct Restorable<'c> {
    ground: Ground<'c>,
    probe: Probe,
    contents: String,
}

impl<'c> Restorable<'c> {
    fn new(context: &'c Context<'c>) -> Result<Self> {
        Self::with(context, |run| run)
    }

    fn with(context: &'c Context<'c>, more: impl FnOnce(Run<'c>) -> Run<'c>) -> Result<Self> {
        let ground = Ground::with(context, "sem-creator-first", more)?;
        let probe = ground.workload.probe(&ground.ctr)?;
        ground.ctr.checkpoint(ID, IMAGE)?;
        ground.ctr.remove(ID)?;
        ground.shm.clear()?;
        let line = "mkdir other && echo of the host >other/file && ln other/file link";
        let shm = context.a().command("sh").args(["-c", line]);
        shm.current_dir(ground.shm.path()).check()?;
        let contents = ground.shm.contents()?;
        Ok(Self {
            ground,
            probe,
            contents,
        })
    }

    fn ctr(&self) -> &Ctr<'c> {
        &self.ground.ctr
    }

    fn restore(&self) -> Result<Background> {
        self.ctr()
            .command(["container", "restore", "--rw", "--live", ID, IMAGE])
            .spawn()
    }

    /// As before the restore, and ready for another.
    fn assert_as_before(&self) -> Result<()> {
        let host = self.ctr().host();
        expect_no_helpers(host)?;
        let line = "pgrep -x python3; \
                    find /sys/fs/cgroup -path '*/default/shm*' -name cgroup.procs -exec cat {} +";
        let mut left = String::new();
        let gone = wait::until(LIMIT, || {
            let output = host.command("sh").args(["-c", line]).run()?;
            left = output.text().into_owned();
            Ok(left.is_empty())
        })?;
        ensure!(gone, "of the container there run still {left}");
        let now = self.ground.shm.contents()?;
        ensure!(
            now == self.contents,
            "there was\n{}\nand there is\n{now}",
            self.contents
        );
        self.ctr().remove(ID)?;

        self.ctr().restore(ID, IMAGE).context("another restore")?;
        self.ground.workload.expect_same(self.ctr(), &self.probe)?;
        self.ground.shm.expect_no_leftovers()?;
        self.ctr().remove(ID)?;
        self.ctr().remove_image(IMAGE)
    }
}

/// CRIU is killed before there are tasks, and when they are ready.
pub(super) fn criu(context: &Context) -> Result<()> {
    end(context, "criu")
}

/// So is runc.
pub(super) fn runc(context: &Context) -> Result<()> {
    end(context, "runc")
}

fn end(context: &Context, program: &str) -> Result<()> {
    for stage in [Stage::SetupNamespaces, Stage::PostRestore] {
        let restorable = Restorable::new(context)?;
        let window = &restorable.ground.window;
        window.close(stage)?;
        let restore = restorable.restore()?;
        window.wait()?;
        signal(context.a(), "KILL", program)?;
        expect_failure(restore.finish(LIMIT)?, &["phase restore"])?;
        window.open()?;
        restorable
            .assert_as_before()
            .with_context(|| format!("killed in {stage:?}"))?;
    }
    Ok(())
}

/// The shim is killed.
pub(super) fn shim(context: &Context) -> Result<()> {
    for stage in [Stage::SetupNamespaces, Stage::PostRestore] {
        let restorable = Restorable::new(context)?;
        let window = &restorable.ground.window;
        window.close(stage)?;
        let restore = restorable.restore()?;
        window.wait()?;
        kill_shim(context.a(), ID)?;
        expect_failure(restore.finish(LIMIT)?, &[])?;
        let bundle = context.a().path(bundle());
        ensure!(
            wait::until(LIMIT, || Ok(!bundle.exists()))?,
            "the bundle is left"
        );
        window.open()?;
        restorable
            .assert_as_before()
            .with_context(|| format!("killed in {stage:?}"))?;
    }
    Ok(())
}

/// A script of the user's does not return.
pub(super) fn script_hangs(context: &Context) -> Result<()> {
    let restorable = Restorable::with(context, |run| run.annotation(SECONDS, "2"))?;
    let window = &restorable.ground.window;
    window.close(Stage::PostRestore)?;
    let restore = restorable.restore()?;
    window.wait()?;
    expect_failure(restore.finish(LIMIT)?, &["within 2 s", SECONDS])?;
    window.open()?;
    restorable.assert_as_before()
}

/// One bit of the images has changed on the way.
pub(super) fn damaged(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let ctr = &ground.ctr;
    let [images, whole, damaged] =
        ["damaged", "whole.tar", "damaged.tar"].map(|name| format!("{}/{name}", ground.dir));
    let probe = ground.workload.probe(ctr)?;
    ctr.checkpoint_task(ID, &images, &format!("{images}-work"), false)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.export_checkpoint(IMAGE, &whole)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)?;
    let pages = context.a().path(format!("{images}/pages-1.img"));
    let mut bytes = std::fs::read(&pages)?;
    *bytes.get_mut(5000).context("few pages")? ^= 1;
    std::fs::write(&pages, bytes)?;
    exported::replace_images(context.a(), &whole, &images, &damaged)?;
    ctr.import_checkpoint(&damaged)?;
    let contents = ground.shm.contents()?;
    let restorable = Restorable {
        ground,
        probe,
        contents,
    };
    let restore = restorable.restore()?;
    expect_failure(restore.finish(LIMIT)?, &["phase verify", "pages-1.img"])?;
    restorable.ctr().remove(ID)?;
    restorable.ctr().remove_image(IMAGE)?;
    restorable.ctr().import_checkpoint(&whole)?;
    restorable.assert_as_before()
}

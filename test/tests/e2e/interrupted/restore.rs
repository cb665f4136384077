//! A restore that is interrupted: no task of the container is left, its tmpfs is as
//! it was, and the next restore succeeds.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::exec::Background;
use remap_test::{Containerd, Ctr, Runtime, wait};

use super::ground::{Ground, bundle, expect_failure};
use super::processes::{HOOK, expect_no_helpers, kill_shim, pids, signal, signal_shim};
use super::window::Stage;
use crate::context::Context;
use crate::workload::{ID, LIMIT, Probe};

/// The checkpoint.
pub(crate) const IMAGE: &str = "remap.test/interrupted:1";

/// The annotation that limits a restore.
const SECONDS: &str = "io.remap.restore-timeout-seconds";

/// A container that has a checkpoint and is gone; in its tmpfs there are other files.
#[derive(Debug)]
pub(crate) struct Restorable<'c> {
    pub(crate) ground: Ground<'c>,
    probe: Probe,
    contents: String,
}

impl<'c> Restorable<'c> {
    /// Takes the checkpoint.
    pub(crate) fn new(context: &'c Context<'c>) -> Result<Self> {
        Self::with(context, |run| run)
    }

    /// As [`Self::new`], with `more` about the container.
    pub(crate) fn with(
        context: &'c Context<'c>,
        more: impl FnOnce(Run<'c>) -> Run<'c>,
    ) -> Result<Self> {
        let ground = Ground::with(context, "sem-creator-first", more)?;
        let probe = ground.workload.probe(&ground.ctr)?;
        ground.ctr.checkpoint(ID, IMAGE)?;
        ground.ctr.remove(ID)?;
        let mut restorable = Self {
            ground,
            probe,
            contents: String::new(),
        };
        restorable.refill()?;
        Ok(restorable)
    }

    /// Puts other files where the container's were.
    pub(crate) fn refill(&mut self) -> Result<()> {
        let shm = &self.ground.shm;
        shm.clear()?;
        let line = "mkdir other && echo of the host >other/file && ln other/file link";
        let fill = self.ctr().host().command("sh").args(["-c", line]);
        fill.current_dir(shm.path()).check()?;
        self.contents = shm.contents()?;
        Ok(())
    }

    /// For `ctr` on the host.
    pub(crate) fn ctr(&self) -> &Ctr<'c> {
        &self.ground.ctr
    }

    /// Starts the restore.
    pub(crate) fn restore(&self) -> Result<Background> {
        self.ctr()
            .command(["container", "restore", "--rw", "--live", ID, IMAGE])
            .spawn()
    }

    /// As before the restore, and ready for another.
    fn assert_as_before(&self) -> Result<()> {
        self.expect_no_task()?;
        self.expect_old_contents()?;
        self.ctr().remove(ID)?;
        self.expect_restorable()?;
        self.ctr().remove_image(IMAGE)
    }

    /// Nothing of the container or of its restore runs.
    pub(crate) fn expect_no_task(&self) -> Result<()> {
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
        Ok(())
    }

    /// In the tmpfs there is what was there before the restore.
    pub(crate) fn expect_old_contents(&self) -> Result<()> {
        let now = self.ground.shm.contents()?;
        ensure!(
            now == self.contents,
            "there was\n{}\nand there is\n{now}",
            self.contents
        );
        Ok(())
    }

    /// The container is as it was when it was checkpointed.
    pub(crate) fn expect_restored(&self) -> Result<()> {
        self.ground.workload.expect_same(self.ctr(), &self.probe)?;
        self.ground.shm.expect_no_leftovers()
    }

    /// A restore for which nobody waits any more comes to its end: the container runs,
    /// and is removed.
    fn expect_end(&self) -> Result<()> {
        self.ctr().wait_for(ID, &Status::Running, LIMIT)?;
        expect_no_helpers(self.ctr().host())?;
        self.expect_restored()?;
        self.ctr().remove(ID)?;
        self.expect_no_task()
    }

    /// A restore succeeds; what it has restored is removed.
    pub(crate) fn expect_restorable(&self) -> Result<()> {
        self.ctr().restore(ID, IMAGE).context("another restore")?;
        self.expect_restored()?;
        self.ctr().remove(ID)
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

/// The shim is killed in a restore whose ghosts get their names again: before that, while CRIU waits
/// for it, and when they have them.
pub(super) fn shim_with_ghosts(context: &Context) -> Result<()> {
    for (stage, waits) in [
        (Stage::PostRestore, false),
        (Stage::SetupNamespaces, true),
        (Stage::PreResume, false),
    ] {
        let restorable = Restorable::with(context, |run| {
            run.annotation("io.remap.mounts", "/dev/shm=ghost")
        })?;
        let window = &restorable.ground.window;
        window.close(stage)?;
        let restore = restorable.restore()?;
        window.wait()?;
        if waits {
            signal_shim(context.a(), "STOP", ID)?;
            window.open()?;
            let waits = || Ok(!pids(context.a(), HOOK)?.is_empty());
            ensure!(wait::until(LIMIT, waits)?, "CRIU does not wait");
        }
        let names = restorable.ground.shm.names()?;
        let expected = match stage {
            Stage::PreResume => "sem.scenario",
            Stage::PostRestore => ".ghost",
            _ => "other",
        };
        ensure!(names.contains(expected), "no {expected} in {names}");
        kill_shim(context.a(), ID)?;
        expect_failure(restore.finish(LIMIT)?, &[])?;
        let bundle = context.a().path(bundle());
        ensure!(
            wait::until(LIMIT, || Ok(!bundle.exists()))?,
            "the bundle is left"
        );
        window.open()?;
        let as_before = || {
            restorable.expect_no_task()?;
            restorable.expect_old_contents()?;
            restorable.ctr().remove(ID)?;
            // By this policy what others have there stays.
            restorable.ground.shm.clear()?;
            restorable.expect_restorable()?;
            restorable.ctr().remove_image(IMAGE)
        };
        as_before().with_context(|| format!("killed in {stage:?}"))?;
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

/// The client. The restore goes on to its end, as with any shim.
pub(super) fn client(context: &Context) -> Result<()> {
    let mut restorable = Restorable::new(context)?;
    let window = &restorable.ground.window;
    window.close(Stage::PostRestore)?;
    let restore = restorable.restore()?;
    window.wait()?;
    restore.kill()?;
    window.open()?;
    restorable.expect_end()?;
    restorable.refill()?;
    restorable.expect_restorable()?;
    restorable.ctr().remove_image(IMAGE)
}

/// containerd, which is started again while the restore goes on.
pub(super) fn containerd(context: &Context) -> Result<()> {
    let mut restorable = Restorable::new(context)?;
    let window = &restorable.ground.window;
    window.close(Stage::PostRestore)?;
    let restore = restorable.restore()?;
    window.wait()?;
    let daemon = Containerd::of(context.a());
    context.a().shell("kill -KILL $(cat /run/containerd.pid)")?;
    expect_failure(restore.finish(LIMIT)?, &[])?;
    ensure!(
        wait::until(LIMIT, || Ok(daemon.pid()?.is_none()))?,
        "containerd does not end"
    );
    daemon.ensure(Runtime::DropIn.lookup())?;
    window.open()?;
    restorable.expect_end()?;
    restorable.refill()?;
    restorable.expect_restorable()?;
    restorable.ctr().remove_image(IMAGE)
}

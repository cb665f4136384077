//! A container whose checkpoint is interrupted, and what must hold afterwards.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_engine::manifest::Manifest;
use remap_test::ctr::{Run, Status, Task};
use remap_test::exec::{Background, Output};
use remap_test::{Ctr, wait};

use super::processes;
use super::window::Window;
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Probe, Workload};

/// The container [`ID`] on host a, with a window in its CRIU configuration.
#[derive(Debug)]
pub(crate) struct Ground<'c> {
    pub(crate) ctr: Ctr<'c>,
    pub(crate) shm: Shm<'c>,
    pub(crate) window: Window<'c>,
    pub(crate) workload: Workload,
    pub(crate) dir: String,
    /// Where the checkpoint goes that is interrupted.
    pub(crate) images: String,
    /// CRIU's working directory then.
    pub(crate) work: String,
}

/// How the container was before.
#[derive(Debug)]
pub(crate) struct Before {
    task: Task,
    probe: Probe,
    pub(crate) names: String,
}

impl<'c> Ground<'c> {
    /// Starts a workload.
    pub(crate) fn new(context: &'c Context<'c>, workload: &'static str) -> Result<Self> {
        Self::with(context, workload, |run| run)
    }

    /// As [`Self::new`], with `more` about the container.
    pub(crate) fn with(
        context: &'c Context<'c>,
        workload: &'static str,
        more: impl FnOnce(Run<'c>) -> Run<'c>,
    ) -> Result<Self> {
        let dir = context.dir()?;
        let window = Window::install(context.a(), &dir)?;
        let shm = Shm::mount(context.a(), ID)?;
        let workload = Workload::start_by(context, &shm, workload, |run| {
            more(run.annotation("org.criu.config", &window.config()))
        })?;
        Ok(Self {
            ctr: context.ctr(),
            shm,
            window,
            workload,
            images: format!("{dir}/images"),
            work: format!("{dir}/work"),
            dir,
        })
    }

    /// Adds a file of so many MiB to its /dev/shm.
    pub(crate) fn fill(&self, mebibytes: u32) -> Result<()> {
        let line = format!(
            "head -c {mebibytes}M /dev/urandom >{}",
            self.shm.file("filling")
        );
        self.ctr.host().shell(&line)?;
        Ok(())
    }

    /// How the container is now.
    pub(crate) fn look(&self) -> Result<Before> {
        Ok(Before {
            task: self.ctr.wait_for(ID, &Status::Running, LIMIT)?,
            probe: self.workload.probe(&self.ctr)?,
            names: self.shm.names()?,
        })
    }

    /// Starts the checkpoint.
    pub(crate) fn checkpoint(&self, exit: bool) -> Result<Background> {
        self.ctr
            .command(["task", "checkpoint", "--image-path", &self.images])
            .args(["--work-path", &self.work])
            .args(exit.then_some("--exit"))
            .arg(ID)
            .spawn()
    }

    /// The checkpoint must have failed, and have said why.
    pub(crate) fn expect_failure(&self, checkpoint: Background, parts: &[&str]) -> Result<()> {
        expect_failure(checkpoint.finish(LIMIT)?, parts)
    }

    /// The container runs as before, nothing of the checkpoint is left, and another
    /// one succeeds.
    pub(crate) fn assert_as_before(&self, before: &Before) -> Result<()> {
        let task = self.ctr.wait_for(ID, &before.task.status, LIMIT)?;
        ensure!(task == before.task, "{:?} became {task:?}", before.task);
        self.expect_nothing_left()?;
        self.shm.expect_names(&before.names)?;
        self.expect_network(task.pid)?;
        self.workload.expect_same(&self.ctr, &before.probe)?;
        let images = format!("{}/again", self.dir);
        self.ctr
            .checkpoint_task(ID, &images, &format!("{images}-work"), false)
            .context("a second checkpoint")?;
        self.workload.expect_same(&self.ctr, &before.probe)?;
        self.ctr
            .host()
            .shell(&format!("rm -r {images} {images}-work"))?;
        self.shm.expect_names(&before.names)
    }

    /// The container was restored, and is as it was when it was dumped.
    pub(super) fn assert_restored(&self, before: &Before) -> Result<()> {
        self.workload.expect_same(&self.ctr, &before.probe)?;
        self.shm.expect_names(&before.names)
    }

    /// As [`Self::assert_as_before`] for a container that was paused meanwhile: it
    /// still is.
    pub(crate) fn assert_paused_as_before(&self, before: &Before) -> Result<()> {
        self.ctr.wait_for(ID, &Status::Paused, LIMIT)?;
        let contents = self.shm.contents()?;
        thread::sleep(Duration::from_millis(500));
        let now = self.shm.contents()?;
        ensure!(now == contents, "it runs:\n{contents}\nbecame\n{now}");
        self.ctr.resume(ID)?;
        self.assert_as_before(before)
    }

    /// The container has ended, as containerd ends one whose shim is gone; nothing of
    /// it or the checkpoint is left, and its id is free.
    pub(crate) fn assert_ended(&self, context: &Context, names: &str) -> Result<()> {
        self.wait_until_ended()?;
        self.expect_nothing_left()?;
        self.expect_free(context, names)
    }

    /// Waits until containerd has ended the container and cleaned up after its shim.
    pub(crate) fn wait_until_ended(&self) -> Result<()> {
        let ended = || {
            let task = self.ctr.task(ID)?;
            Ok(task.is_none_or(|task| task.status == Status::Stopped))
        };
        ensure!(
            wait::until(LIMIT, ended)?,
            "the container is {:?}",
            self.ctr.task(ID)?
        );
        // containerd has it cleaned up, and then removes its bundle.
        let bundle = self.ctr.host().path(bundle());
        let gone = wait::until(LIMIT, || Ok(!bundle.exists()))?;
        ensure!(gone, "its bundle is left");
        Ok(())
    }

    /// The files are as they were, and another container can have the id.
    pub(crate) fn expect_free(&self, context: &Context, names: &str) -> Result<()> {
        self.shm.expect_names(names)?;
        self.ctr.remove(ID)?;
        self.shm.clear()?;
        let workload = Workload::start(context, &self.shm, "sem-creator-first")?;
        workload.probe(&self.ctr)?;
        self.ctr.remove(ID)
    }

    /// Whether there is a checkpoint, which has to be complete and undamaged. It is
    /// removed.
    pub(crate) fn take_checkpoint(&self) -> Result<bool> {
        let images = self.ctr.host().path(&self.images);
        if !images.exists() {
            return Ok(false);
        }
        let manifest = Manifest::read(&images)?.context("a checkpoint without a manifest")?;
        manifest.verify(&images)?;
        fs::remove_dir_all(&images)?;
        Ok(true)
    }

    /// No process, directory or file of the checkpoint is left.
    pub(crate) fn expect_nothing_left(&self) -> Result<()> {
        let host = self.ctr.host();
        processes::expect_no_helpers(host)?;
        let images = host.path(&self.images);
        ensure!(!images.exists(), "{} is left", self.images);
        let work = host.path(bundle()).join("remap");
        if work.exists() {
            let left: Vec<_> = fs::read_dir(&work)?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<Result<_, _>>()?;
            ensure!(
                left.iter().all(|name| name == "criu.conf"),
                "in the bundle's directory remap there is {left:?}"
            );
        }
        self.shm.expect_no_leftovers()
    }

    /// In the network namespace of the container packets pass: without a lock a
    /// closed port refuses, with one there is no answer.
    fn expect_network(&self, pid: u32) -> Result<()> {
        let output = self
            .ctr
            .host()
            .command("timeout")
            .args(["3", "nsenter", "--net", "--target", &pid.to_string()])
            .args(["bash", "-c", "echo >/dev/tcp/127.0.0.1/9"])
            .run()?;
        let said = output.error_text();
        ensure!(
            said.contains("refused"),
            "the container's network stays locked: {output:?}"
        );
        Ok(())
    }
}

/// The bundle of the container [`ID`].
pub(crate) fn bundle() -> String {
    format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}")
}

/// A command of `ctr` must have failed, and have said all of `parts`.
pub(crate) fn expect_failure(output: Output, parts: &[&str]) -> Result<()> {
    ensure!(!output.timed_out, "no answer: {output:?}");
    ensure!(output.exit_code() != 0, "it succeeds: {output:?}");
    let said = output.error_text();
    for part in parts {
        ensure!(said.contains(part), "no {part:?} in {said:?}");
    }
    Ok(())
}

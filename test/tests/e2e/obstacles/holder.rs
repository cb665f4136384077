//! A container in which processes hold what CRIU cannot dump.

use anyhow::{Context as _, Result, bail, ensure};
use remap_test::ctr::Run;
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, wait};

use crate::context::Context;
use crate::workload::{ID, LIMIT, wait_until_ready};

/// What the obstacles need, most of them for being set up only.
const CAPABILITIES: [&str; 7] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_NET_ADMIN",
    "CAP_BPF",
    "CAP_PERFMON",
    "CAP_IPC_LOCK",
    "CAP_LEASE",
];

const IMAGE: &str = "remap.test/obstacles:1";

/// The container [`ID`], whose init waits.
#[derive(Debug, Clone)]
pub(crate) struct Container<'c> {
    ctr: Ctr<'c>,
    /// The directory for what a checkpoint of its task writes.
    dir: String,
}

/// A process in it that holds an obstacle.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Its pid there.
    pub(crate) pid: String,
    /// The name of its obstacle.
    pub(crate) obstacle: String,
}

/// The container's image and the capabilities that the workloads need.
pub(crate) fn run<'c>(context: &Context<'c>) -> Result<Run<'c>> {
    let mut run = context.ctr().run(context.runtime(), context.python()?, ID);
    for capability in CAPABILITIES {
        run = run.flag(["--cap-add", capability]);
    }
    Ok(run)
}

impl<'c> Container<'c> {
    /// Starts it, with `more` about it.
    pub(crate) fn start(
        context: &Context<'c>,
        dir: &str,
        more: impl FnOnce(Run<'c>) -> Run<'c>,
    ) -> Result<Self> {
        more(run(context)?)
            .args(["python3", &script(), "init"])
            .start()?;
        let ctr = context.ctr();
        wait_until_ready(&ctr)?;
        Ok(Self {
            ctr,
            dir: dir.to_owned(),
        })
    }

    /// Adds a process for each of the obstacles (`NAME` or `NAME=ARGUMENT`), children of init.
    /// Those that this kernel does not have are left out.
    pub(crate) fn add(&self, obstacles: &[&str]) -> Result<Vec<Holder>> {
        let script = script();
        let args = ["python3", &script]
            .into_iter()
            .chain(obstacles.iter().copied());
        self.ctr.exec(ID, &args.collect::<Vec<_>>())?.ok()?;
        let names = obstacles
            .iter()
            .map(|one| one.split('=').next().unwrap_or(one));
        let names: Vec<&str> = names.collect();
        let line = format!(
            "cd /workload-state; for n in {}; do cat $n; echo; done",
            names.join(" ")
        );
        let said = self.ctr.exec(ID, &["sh", "-c", &line])?.ok()?;
        let said = said.text().into_owned();
        let mut holders = Vec::new();
        for (name, text) in names.iter().zip(said.lines()) {
            match text.strip_prefix("no: ") {
                Some(reason) => eprintln!("there is no {name} here: {reason}"),
                None => holders.push(Holder {
                    pid: text.to_owned(),
                    obstacle: (*name).to_owned(),
                }),
            }
        }
        Ok(holders)
    }

    /// All of them must still be there.
    pub(crate) fn expect(&self, holders: &[Holder]) -> Result<()> {
        for holder in holders {
            // A dead one that nobody has waited for has no executable.
            let line = format!("readlink /proc/{}/exe", holder.pid);
            let there = self.ctr.exec(ID, &["sh", "-c", &line])?;
            ensure!(there.exit_code() == 0, "{} is gone", holder.obstacle);
        }
        Ok(())
    }

    /// Ends holders, and waits until they are gone.
    pub(crate) fn end(&self, holders: &[Holder]) -> Result<()> {
        if holders.is_empty() {
            return Ok(());
        }
        let pids: Vec<&str> = holders.iter().map(|holder| &*holder.pid).collect();
        let pids = pids.join(" ");
        self.ctr
            .exec(ID, &["sh", "-c", &format!("kill -9 {pids}")])?
            .ok()?;
        let line = format!("for p in {pids}; do [ ! -e /proc/$p ] || exit 1; done");
        let gone = || Ok(self.ctr.exec(ID, &["sh", "-c", &line])?.exit_code() == 0);
        ensure!(wait::until(LIMIT, gone)?, "the holders do not end");
        Ok(())
    }

    /// Checkpoints the container, with the option file-locks, and removes what comes of it.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        unless_busy(|| self.ctr.checkpoint(ID, IMAGE))?;
        self.ctr.remove_image(IMAGE)
    }

    /// Checkpoints its task, without any option, and removes what comes of it.
    pub(crate) fn checkpoint_task(&self) -> Result<()> {
        let images = format!("{}/images", self.dir);
        let work = format!("{}/work", self.dir);
        let checkpoint = || self.ctr.checkpoint_task(ID, &images, &work, false);
        let result = unless_busy(checkpoint);
        self.ctr.host().shell(&format!("rm -rf {images}"))?;
        result
    }

    /// The checkpoint must be refused in the plan; returns what is said.
    pub(crate) fn expect_refusal(&self, result: Result<()>) -> Result<String> {
        let error = format!("{:#}", result.err().context("it is not refused")?);
        if !error.contains("phase plan") {
            bail!("not refused in the plan: {error}");
        }
        ensure!(
            self.ctr.images()?.iter().all(|image| image != IMAGE),
            "there is an image"
        );
        let hold = format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}/remap/hold");
        ensure!(!self.ctr.host().path(&hold).exists(), "{hold} is left");
        Ok(error)
    }
}

/// On a busy machine runc may not get a control group of version 1 frozen in the time that it takes
/// for that: then it is asked again.
pub(crate) fn unless_busy(checkpoint: impl Fn() -> Result<()>) -> Result<()> {
    let mut last = checkpoint();
    for _ in 0..20 {
        match &last {
            Err(error) if format!("{error:#}").contains("unable to freeze") => last = checkpoint(),
            _ => break,
        }
    }
    last
}

fn script() -> String {
    format!("{WORKLOAD_DIR}/obstacles.py")
}

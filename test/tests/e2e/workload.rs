//! A container whose /dev/shm is a host's tmpfs, in which one of the scenarios of
//! `test/workloads` runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::exec::Output;
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, wait};
use serde_json::Value;

use crate::context::Context;
use crate::shm::Shm;

/// The id of the container, on whichever host.
pub(crate) const ID: &str = "shm";

/// For what takes a moment.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The container [`ID`], with the workload `NAME` of `scenario.py` in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    name: &'static str,
}

/// What `probe.py` says of it.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    facts: Value,
    progress: Value,
}

impl Workload {
    /// Starts it on host a with the scenario's runtime and waits until it is set up.
    pub(crate) fn start(context: &Context, shm: &Shm, name: &'static str) -> Result<Self> {
        Self::start_by(context, shm, name, |run| run)
    }

    /// As [`Self::start`], with `more` about the container.
    pub(crate) fn start_by<'h>(
        context: &Context<'h>,
        shm: &Shm,
        name: &'static str,
        more: impl FnOnce(Run<'h>) -> Run<'h>,
    ) -> Result<Self> {
        let script = format!("{WORKLOAD_DIR}/scenario.py");
        let run = python(context, shm)?.args(["python3", &script]);
        more(run.args(name.split(' '))).start()?;
        wait_until_ready(&context.ctr())?;
        let (name, _) = name.split_once(' ').unwrap_or((name, ""));
        Ok(Self { name })
    }

    /// How it is, on the host of `ctr`.
    ///
    /// # Errors
    /// It is not there, a role of it does not answer, or a number stands still.
    pub(crate) fn probe(&self, ctr: &Ctr) -> Result<Probe> {
        Probe::ask(self.name, |args| ctr.exec(ID, args))
    }

    /// It must run on the host of `ctr`, and be as it was at `before`: the same
    /// names, the same inodes behind them, the same contents.
    pub(crate) fn expect_same(&self, ctr: &Ctr, before: &Probe) -> Result<Probe> {
        ctr.wait_for(ID, &Status::Running, LIMIT)?;
        let now = self.probe(ctr)?;
        let place = || format!("{}, on host {}", self.name, ctr.host().name());
        before.expect_same(&now).with_context(place)?;
        Ok(now)
    }
}

impl Probe {
    /// How the workload `name` is in a container in which `exec` runs a program.
    ///
    /// # Errors
    /// As of [`Workload::probe`].
    pub(crate) fn ask(name: &str, exec: impl Fn(&[&str]) -> Result<Output>) -> Result<Self> {
        let script = format!("{WORKLOAD_DIR}/probe.py");
        let output = exec(&["python3", &script, name])?.ok()?;
        let mut found: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("the probe says {:?}", output.text()))?;
        Ok(Self {
            facts: found["facts"].take(),
            progress: found["progress"].take(),
        })
    }

    /// `now` must be as this: the same names, the same inodes behind them, the same contents.
    pub(crate) fn expect_same(&self, now: &Self) -> Result<()> {
        let mut different = Vec::new();
        compare("", &self.facts, &now.facts, &mut different);
        let different = different.join("\n  ");
        ensure!(different.is_empty(), "it is not as it was:\n  {different}");
        Ok(())
    }

    /// One of the numbers that the role shows.
    pub(crate) fn progress(&self, role: &str, number: &str) -> Result<u64> {
        let value = self.progress[role][number].as_u64();
        value.with_context(|| format!("no {number} of {role} in {}", self.progress))
    }

    /// What each role holds, and how it sees it.
    pub(crate) fn uses(&self) -> &Value {
        &self.facts["uses"]
    }

    /// What the role has checked itself.
    pub(crate) fn check(&self, role: &str, what: &str) -> &Value {
        &self.facts["checks"][role][what]
    }
}

/// The container [`ID`] with Python and the tmpfs, to be run on host a.
pub(crate) fn python<'h>(context: &Context<'h>, shm: &Shm) -> Result<Run<'h>> {
    let run = context.ctr().run(context.runtime(), context.python()?, ID);
    Ok(run.bind(shm.path(), "/dev/shm"))
}

/// Waits for the marker that every workload makes when it is set up.
pub(crate) fn wait_until_ready(ctr: &Ctr) -> Result<()> {
    wait_until_ready_by(|args| ctr.exec(ID, args))
}

/// As [`wait_until_ready`], in a container in which `exec` runs a program.
pub(crate) fn wait_until_ready_by(exec: impl Fn(&[&str]) -> Result<Output>) -> Result<()> {
    let ready = || Ok(exec(&["cat", "/workload-state/ready"])?.exit_code() == 0);
    ensure!(
        wait::until(LIMIT, ready)?,
        "the workload does not get ready"
    );
    Ok(())
}

/// Notes where two values differ.
fn compare(at: &str, before: &Value, now: &Value, different: &mut Vec<String>) {
    if let (Value::Object(old), Value::Object(new)) = (before, now) {
        for key in old
            .keys()
            .chain(new.keys().filter(|key| !old.contains_key(*key)))
        {
            compare(&format!("{at}/{key}"), &before[key], &now[key], different);
        }
    } else if before != now {
        different.push(format!("{at} was {before} and is {now}"));
    }
}

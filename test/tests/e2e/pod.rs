//! Two containers that work together on one tmpfs: `pod.py` in `test/workloads`.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Run;
use remap_test::exec::Output;
use remap_test::image::{BUSYBOX_IMAGE, WORKLOAD_DIR};
use remap_test::{Ctr, wait};

use crate::context::Context;
use crate::shm::Shm;
use crate::workload::LIMIT;

/// The ids of the containers, in the order in which they are started.
pub(crate) const MEMBERS: [&str; 2] = ["creator", "user"];

/// Starts both on host a, each declared to move with the other, and waits until they work.
pub(crate) fn start(context: &Context, shm: &Shm) -> Result<()> {
    let [creator, user] = MEMBERS;
    start_by(context, shm, |run, id| {
        let other = if id == creator { user } else { creator };
        run.annotation("io.remap.moves-with", other)
    })
}

/// Starts both with `more` about each container.
fn start_by<'h>(
    context: &Context<'h>,
    shm: &Shm,
    more: impl Fn(Run<'h>, &str) -> Run<'h>,
) -> Result<()> {
    let ctr = context.ctr();
    for id in MEMBERS {
        let script = script();
        let run = ctr.run(context.runtime(), context.python()?, id);
        let run = run.bind(shm.path(), "/dev/shm");
        more(run, id).args(["python3", &script, id]).start()?;
    }
    expect_rounds(&ctr).context("in the beginning")
}

/// The id of the sandbox.
pub(crate) const SANDBOX: &str = "sandbox";

/// Starts both as containerd's CRI plugin starts the containers of a pod: with its annotations, and
/// after a sandbox container that holds the pod's namespaces. Nothing else says that they belong
/// together.
pub(crate) fn start_in_sandbox(context: &Context, shm: &Shm) -> Result<()> {
    start_sandbox(context.ctr(), context, shm)?;
    start_by(context, shm, |run, _| of_sandbox(run, "container"))
}

/// Starts only the sandbox, on the host of `ctr`.
pub(crate) fn start_sandbox(ctr: Ctr<'_>, context: &Context, shm: &Shm) -> Result<()> {
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, SANDBOX);
    of_sandbox(run.bind(shm.path(), "/dev/shm"), "sandbox")
        .shell("while :; do sleep 1; done")
        .start()
}

fn of_sandbox<'h>(run: Run<'h>, kind: &str) -> Run<'h> {
    run.annotation("io.kubernetes.cri.container-type", kind)
        .annotation("io.kubernetes.cri.sandbox-id", SANDBOX)
}

/// Both go on, with each other, and were never of different minds.
pub(crate) fn expect_rounds(ctr: &Ctr) -> Result<()> {
    expect_rounds_by(|id, args| ctr.exec(id, args))
        .with_context(|| format!("on host {}", ctr.host().name()))
}

/// As [`expect_rounds`], for another client, whose `exec` runs a program in a member.
pub(crate) fn expect_rounds_by(exec: impl Fn(&str, &[&str]) -> Result<Output>) -> Result<()> {
    let rounds = |member: &str| -> Result<u64> {
        let output = exec(member, &["cat", "/workload-state/rounds"])?.ok()?;
        Ok(output.text().trim().parse()?)
    };
    for member in MEMBERS {
        let first = rounds(member).unwrap_or(0);
        let more = || Ok(rounds(member).is_ok_and(|now| now > first + 2));
        ensure!(
            wait::until(LIMIT, more)?,
            "{member} stands still in round {first}"
        );
        let error = exec(member, &["cat", "/workload-state/error"])?;
        ensure!(!error.status.success(), "{member} saw {}", error.text());
    }
    Ok(())
}

/// The program of a member.
pub(crate) fn script() -> String {
    format!("{WORKLOAD_DIR}/pod.py")
}

/// Pauses both.
pub(crate) fn pause(ctr: &Ctr) -> Result<()> {
    MEMBERS.iter().try_for_each(|id| ctr.pause(id))
}

/// Lets both run on.
pub(crate) fn resume(ctr: &Ctr) -> Result<()> {
    MEMBERS.iter().try_for_each(|id| ctr.resume(id))
}

/// Removes both.
pub(crate) fn remove(ctr: &Ctr) -> Result<()> {
    MEMBERS.iter().try_for_each(|id| ctr.remove(id))
}

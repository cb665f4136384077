//! The shim is killed in the middle of an operation: containerd cleans up by its `delete` action, and
//! nothing is left, whatever the runtime that the shim has called does then.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::ctr::Status;
use remap_test::exec::Background;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::wait;

use super::gate::{Gate, When};
use crate::context::Context;
use crate::interrupted::processes::{expect_no_helpers, kill_shim};
use crate::workload::LIMIT;

const ID: &str = "killed";

const MOMENTS: [When; 5] = [
    When::Before,
    When::During(10),
    When::During(30),
    When::During(60),
    When::After,
];

/// While the container is created.
pub(super) fn create(context: &Context) -> Result<()> {
    for when in MOMENTS {
        let gate = Gate::install(context.a(), &context.dir()?, "create", when)?;
        let client = run(context, &gate)?;
        strike(context, &gate, client)?;
        expect_gone(context, ID)?;
    }
    Ok(())
}

/// While its program is started.
pub(super) fn start(context: &Context) -> Result<()> {
    for when in MOMENTS {
        let gate = Gate::install(context.a(), &context.dir()?, "start", when)?;
        let client = run(context, &gate)?;
        strike(context, &gate, client)?;
        expect_gone(context, ID)?;
    }
    Ok(())
}

/// While a process is added.
pub(super) fn exec(context: &Context) -> Result<()> {
    for when in MOMENTS {
        let gate = Gate::install(context.a(), &context.dir()?, "exec", when)?;
        run(context, &gate)?.finish(LIMIT)?.ok()?;
        let exec = ["task", "exec", "--exec-id", "e", ID, "sleep", "600"];
        let client = context.ctr().command(exec).spawn()?;
        strike(context, &gate, client)?;
        expect_gone(context, ID)?;
    }
    Ok(())
}

/// While it is deleted.
pub(super) fn delete(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    for when in MOMENTS {
        let gate = Gate::install(context.a(), &context.dir()?, "delete", when)?;
        run(context, &gate)?.finish(LIMIT)?.ok()?;
        ctr.kill(ID, "SIGKILL")?;
        ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
        let client = ctr.command(["task", "delete", ID]).spawn()?;
        strike(context, &gate, client)?;
        expect_gone(context, ID)?;
    }
    Ok(())
}

/// The shim of three containers, of which one is in the middle of an exec.
pub(super) fn group(context: &Context) -> Result<()> {
    const GROUP: &str = "killed-group";
    let ctr = context.ctr();
    let ids = ["one", "two", "three"];
    for id in ids {
        ctr.run(context.runtime(), BUSYBOX_IMAGE, id)
            .annotation("io.containerd.runc.v2.group", GROUP)
            .shell("sleep 600")
            .start()?;
    }
    let before = ctr.pids("two")?.len();
    let exec = ["task", "exec", "--exec-id", "e", "two", "sleep", "600"];
    let client = ctr.command(exec).spawn()?;
    let all = || Ok(ctr.pids("two")?.len() > before);
    ensure!(wait::until(LIMIT, all)?, "the exec does not come");
    kill_shim(context.a(), GROUP)?;
    let output = client.finish(LIMIT)?;
    ensure!(output.exit_code() != 0, "{output:?}");
    ids.iter().try_for_each(|id| expect_gone(context, id))
}

/// Runs the container by way of the gate.
fn run(context: &Context, gate: &Gate) -> Result<Background> {
    context
        .ctr()
        .command(["run", "--detach", "--null-io"])
        .args(["--runtime", context.runtime().name()])
        .args(["--runc-binary", &gate.program()])
        .args([BUSYBOX_IMAGE, ID, "/bin/sh", "-c", "sleep 600 & sleep 600"])
        .spawn()
}

/// Kills the shim when runc has come to the gate, which opens only when containerd has done what it
/// does then.
fn strike(context: &Context, gate: &Gate, client: Background) -> Result<()> {
    gate.wait()?;
    kill_shim(context.a(), ID)?;
    let output = client.finish(LIMIT)?;
    ensure!(output.exit_code() != 0, "{output:?}");
    let ctr = context.ctr();
    let is_gone = || {
        Ok(ctr
            .task(ID)?
            .is_none_or(|task| task.status == Status::Stopped))
    };
    ensure!(wait::until(LIMIT, is_gone)?, "containerd does not clean up");
    // A runc that has outlived this would go on now.
    gate.open()?;
    std::thread::sleep(Duration::from_millis(500));
    expect_no_helpers(context.a())
}

/// No process of the container is there, no state of runc's, no mount; and its id is free again.
fn expect_gone(context: &Context, id: &str) -> Result<()> {
    let ctr = context.ctr();
    let mut text = String::new();
    let line = format!(
        "pgrep -f '^sleep 600'; ls -d /run/containerd/runc/default/{id} 2>/dev/null; \
         grep /{id}/ /proc/self/mountinfo; find /sys/fs/cgroup -type d -path '*/default/{id}'; true"
    );
    let is_gone = wait::until(LIMIT, || {
        text = context.a().shell(&line)?.text().into_owned();
        Ok(text.is_empty())
    })?;
    ensure!(is_gone, "left of {id}: {text}");
    ctr.remove(id)?;
    ensure!(
        !ctr.containers()?.contains(&id.to_owned()),
        "{id} is still there"
    );
    Ok(())
}

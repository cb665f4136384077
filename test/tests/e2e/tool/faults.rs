//! Whatever fails, the container runs on, and nothing is left.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Host, wait};

use super::{COUNT, counted, expect_counting, expect_failure, remapctl, start_counting, told};
use crate::context::Context;
use crate::workload::LIMIT;

/// The id of the container.
const ID: &str = "faults";

/// Nothing is in the directory, and no lease of ours is left.
fn expect_nothing(host: &Host, dir: &str) -> Result<()> {
    let left = host
        .shell(&format!("ls -A {dir}; ctr leases ls -q"))?
        .ok()?;
    ensure!(left.text().is_empty(), "something is left: {}", left.text());
    Ok(())
}

/// What the plan refuses has an exit code of its own.
pub(super) fn refused(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    start_counting(context, ID)?;
    let session = ctr
        .command(["task", "exec", "--exec-id", "s", ID, "sleep", "600"])
        .spawn()?;
    let is_there = || Ok(ctr.pids(ID)?.len() > 2);
    wait::until(LIMIT, is_there)?;
    let path = format!("{dir}/checkpoint");
    let output = remapctl(
        context.a(),
        &["checkpoint", "--exit", "--form", "dir", ID, &path],
    )?;
    expect_failure(&output, 1, &["phase dump", "phase plan", "exec"])?;
    expect_counting(&ctr, ID, counted(&ctr, ID)?)?;
    expect_nothing(context.a(), &dir)?;
    session.kill()?;
    let output = remapctl(
        context.a(),
        &["checkpoint", "--form", "dir", "nobody", &path],
    )?;
    expect_failure(&output, 3, &["phase look", "no container nobody"])?;
    let output = remapctl(
        context.a(),
        &["checkpoint", "--form", "dir", ID, "/nowhere/at/all"],
    )?;
    expect_failure(&output, 3, &["phase look", "/nowhere/at"])?;
    ctr.remove(ID)
}

/// With `--exit` the archive is written before the container ends: if there is no room for it, the
/// container runs on.
pub(super) fn no_room(context: &Context) -> Result<()> {
    let (host, ctr) = (context.a(), context.ctr());
    let dir = context.dir()?;
    let line = format!("dd if=/dev/urandom of=/noise bs=1M count=16; {COUNT}");
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .shell(&line)
        .start()?;
    expect_counting(&ctr, ID, 3)?;
    host.shell(&format!("mount -t tmpfs -o size=8m none {dir}"))?
        .ok()?;
    let path = format!("{dir}/checkpoint");
    let output = remapctl(host, &["checkpoint", "--exit", "--form", "dir", ID, &path])?;
    expect_failure(&output, 3, &["phase hand-over", "No space left"])?;
    expect_counting(&ctr, ID, counted(&ctr, ID)?)?;
    expect_nothing(host, &dir)?;
    host.shell(&format!("umount {dir}"))?.ok()?;
    // Nothing of it is in the way of the next.
    told(host, &["checkpoint", "--exit", "--form", "dir", ID, &path])?;
    ctr.remove(ID)
}

/// Ctrl-C, and a kill, at whatever moment.
pub(super) fn interrupted(context: &Context) -> Result<()> {
    let (host, ctr) = (context.a(), context.ctr());
    let dir = context.dir()?;
    let path = format!("{dir}/checkpoint");
    start_counting(context, ID)?;
    for (signal, after_ms) in [
        (Signal::SIGINT, 5),
        (Signal::SIGINT, 60),
        (Signal::SIGINT, 150),
        (Signal::SIGKILL, 30),
        (Signal::SIGKILL, 120),
        (Signal::SIGKILL, 220),
    ] {
        let command = host.command("remapctl");
        let args = ["checkpoint", "--exit", "--form", "dir", ID, &path];
        let running = command.args(args).spawn()?;
        std::thread::sleep(Duration::from_millis(after_ms));
        running.signal(signal)?;
        let output = running.finish(LIMIT)?;
        let exists = host
            .command("test")
            .args(["-e", &path])
            .run()?
            .status
            .success();
        ensure!(
            output.status.success() == exists || signal == Signal::SIGKILL,
            "it ends with {}, and there is a checkpoint: {exists}",
            output.status
        );
        if exists {
            // Before the container ends it is complete, whatever comes then.
            remapctl(host, &["verify", &path])?.ok()?;
            if has_ended(&ctr, output.status.success())? {
                ctr.remove(ID)?;
                told(host, &["restore", &path])?;
            }
            host.shell(&format!("rm -r {path}"))?.ok()?;
        }
        expect_counting(&ctr, ID, counted(&ctr, ID)?)?;
    }
    // What a kill has left is hidden, and goes with the next.
    told(host, &["checkpoint", "--exit", "--form", "dir", ID, &path])?;
    let left = host.shell(&format!("ls -A {dir}"))?.ok()?;
    ensure!(left.text() == "checkpoint", "left: {}", left.text());
    ctr.remove(ID)
}

/// Whether the container has ended with its checkpoint. If nobody knows, the shim is given time for it.
fn has_ended(ctr: &Ctr, is_sure: bool) -> Result<bool> {
    let limit = if is_sure {
        LIMIT
    } else {
        Duration::from_secs(3)
    };
    wait::until(limit, || {
        let task = ctr.task(ID)?;
        Ok(task.is_none_or(|task| task.status == Status::Stopped))
    })
}

/// What the target lacks is told at once, and nothing is made.
pub(super) fn lacking(context: &Context) -> Result<()> {
    let (host, ctr) = (context.a(), context.ctr());
    let dir = context.dir()?;
    let path = format!("{dir}/checkpoint");
    host.shell(&format!("mkdir {dir}/source"))?.ok()?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind(&format!("{dir}/source"), "/data")
        .shell(COUNT)
        .start()?;
    told(host, &["checkpoint", "--form", "dir", ID, &path])?;
    host.shell(&format!("rmdir {dir}/source"))?.ok()?;
    let output = remapctl(host, &["restore", &path])?;
    expect_failure(
        &output,
        1,
        &[
            "phase fit",
            "(1) there is a container",
            "(2) the source",
            "/data",
        ],
    )?;
    ctr.remove(ID)?;
    let output = remapctl(host, &["restore", &path])?;
    expect_failure(&output, 1, &["the source"])?;
    host.shell(&format!(
        "mkdir {dir}/source; printf x >>{path}/inventory.img"
    ))?
    .ok()?;
    let output = remapctl(host, &["restore", &path])?;
    expect_failure(&output, 4, &["phase unpack", "inventory.img"])?;
    ensure!(ctr.containers()?.is_empty(), "there is a container");
    let left = host.shell(&format!("ls -A {dir}"))?.ok()?;
    ensure!(
        left.text().trim() == "checkpoint\nsource",
        "left: {}",
        left.text()
    );
    Ok(())
}

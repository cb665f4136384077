//! The figures of a container on cgroup v2: they are those of its cgroup, and move.

use anyhow::{Context as _, Result, ensure};
use remap_test::Ctr;
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::wait;
use serde_json::Value;

use crate::context::Context;
use crate::workload::LIMIT;

const ID: &str = "figures";

const IMAGE: &str = "remap.test/figures:1";

const MEMORY_LIMIT_BYTES: u64 = 64 << 20;

/// Also those of a container that was restored.
pub(super) fn figures(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .flag(["--memory-limit", &MEMORY_LIMIT_BYTES.to_string()])
        .shell("while :; do sleep 0.1; done")
        .start()?;
    check(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    check(&ctr).context("after the restore")?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Holds what `ctr` says against the files.
fn check(ctr: &Ctr) -> Result<()> {
    let pid = ctr.wait_for(ID, &Status::Running, LIMIT)?.pid;
    let line = format!("sed -n 's/^0:://p' /proc/{pid}/cgroup");
    let group = format!("/sys/fs/cgroup{}", ctr.host().shell(&line)?.text());
    let before = microseconds(ctr, &group)?;
    let first = metrics(ctr, ID)?;
    let usage = number(&first, "cpu", "usage_usec")?;
    let after = microseconds(ctr, &group)?;
    ensure!(
        (before..=after).contains(&usage) && usage > 0,
        "{usage} is not from {before} to {after}"
    );
    let moved = || Ok(number(&metrics(ctr, ID)?, "cpu", "usage_usec")? > usage);
    ensure!(wait::until(LIMIT, moved)?, "the time stands still");
    let limit = number(&first, "memory", "usage_limit")?;
    ensure!(limit == MEMORY_LIMIT_BYTES, "the limit is {limit}");
    ensure!(number(&first, "pids", "current")? > 0, "no pids: {first}");
    for part in ["cpu", "memory", "io"] {
        ensure!(first[part]["psi"].is_object(), "no pressure: {first}");
    }
    let sizes = first["hugetlb"].as_array();
    ensure!(
        sizes.is_some_and(|sizes| !sizes.is_empty()),
        "no large pages: {first}"
    );
    for figure in ["usage", "anon", "pgfault"] {
        ensure!(
            number(&first, "memory", figure)? > 0,
            "no {figure}: {first}"
        );
    }
    Ok(())
}

/// In the message of the unified hierarchy, or there is nothing of this.
pub(super) fn metrics(ctr: &Ctr, id: &str) -> Result<Value> {
    let command = ctr.command(["task", "metrics", "--format", "json", id]);
    let said = command.check()?;
    serde_json::from_slice(&said.stdout).with_context(|| format!("no JSON: {}", said.text()))
}

pub(super) fn number(metrics: &Value, part: &str, name: &str) -> Result<u64> {
    let value = metrics[part][name].as_u64();
    value.with_context(|| format!("no {part}.{name} in {metrics}"))
}

/// The processor time of a cgroup.
fn microseconds(ctr: &Ctr, group: &str) -> Result<u64> {
    let line = format!("sed -n 's/^usage_usec //p' {group}/cpu.stat");
    let said = ctr.host().shell(&line)?;
    said.text()
        .parse()
        .with_context(|| format!("{group}/cpu.stat: {said:?}"))
}

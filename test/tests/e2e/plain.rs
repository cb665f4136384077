//! Checkpoint and restore of a container that uses nothing outside of itself. The
//! stock shim can do all of this; so must ours.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("plain::keeps_running", keeps_running),
    Scenario::new("plain::moves", moves),
    Scenario::new("plain::comes_back", comes_back),
];

const LIMIT: Duration = Duration::from_secs(10);

/// The checkpoint's name; each scenario removes it.
const CHECKPOINT: &str = "remap.test/checkpoint:1";

/// A container that counts in its memory, and shows the number in its file `/n`.
fn counter<'c>(context: &Context<'c>, id: &str) -> Run<'c> {
    let line = "n=0; while :; do n=$((n + 1)); echo $n >/new; mv /new /n; sleep 0.02; done";
    context
        .ctr()
        .run(context.runtime(), BUSYBOX_IMAGE, id)
        .shell(line)
}

fn count(ctr: &Ctr, id: &str) -> Result<u32> {
    let output = ctr.exec(id, &["cat", "/n"])?.ok()?;
    output
        .text()
        .parse()
        .with_context(|| format!("the counter says {:?}", output.text()))
}

/// Waits until the counter has passed `from`.
fn expect_progress(ctr: &Ctr, id: &str, from: u32) -> Result<u32> {
    let mut last = 0;
    let moved = wait::until(LIMIT, || {
        // The file is not there at once.
        last = count(ctr, id).unwrap_or(0);
        Ok(last > from)
    })?;
    ensure!(
        moved,
        "container {id} on host {} counts {last}, not past {from}",
        ctr.host().name()
    );
    Ok(last)
}

/// A checkpoint does not end the container, nor start it anew.
fn keeps_running(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    counter(context, "keeps").start()?;
    let before = expect_progress(&ctr, "keeps", 5)?;
    let task = ctr.wait_for("keeps", &Status::Running, LIMIT)?;
    ctr.checkpoint("keeps", CHECKPOINT)?;
    ensure!(
        ctr.wait_for("keeps", &Status::Running, LIMIT)? == task,
        "it is another task"
    );
    expect_progress(&ctr, "keeps", before)?;
    ctr.remove_image(CHECKPOINT)?;
    ctr.remove("keeps")
}

/// From one host to the other: the number goes on where it was.
fn moves(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let archive = format!("{}/checkpoint.tar", context.dir()?);
    counter(context, "moves").start()?;
    let before = expect_progress(&a, "moves", 5)?;
    a.checkpoint("moves", CHECKPOINT)?;
    a.remove("moves")?;

    a.export_checkpoint(CHECKPOINT, &archive)?;
    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    b.import_checkpoint(&archive)?;
    b.restore("moves", CHECKPOINT)?;
    b.wait_for("moves", &Status::Running, LIMIT)?;
    expect_progress(&b, "moves", before)?;

    b.remove("moves")?;
    b.remove_image(CHECKPOINT)?;
    a.remove_image(CHECKPOINT)
}

/// On the same host, and twice, the second time from a restored container.
fn comes_back(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    counter(context, "back").start()?;
    let mut before = expect_progress(&ctr, "back", 5)?;
    for _ in 0..2 {
        ctr.checkpoint("back", CHECKPOINT)?;
        ctr.remove("back")?;
        ctr.restore("back", CHECKPOINT)?;
        ctr.wait_for("back", &Status::Running, LIMIT)?;
        before = expect_progress(&ctr, "back", before)?;
        ctr.remove_image(CHECKPOINT)?;
    }
    ctr.kill("back", "SIGKILL")?;
    ctr.wait_for("back", &Status::Stopped, LIMIT)?;
    ensure!(
        ctr.delete_task("back")? == 137,
        "another exit code than SIGKILL's"
    );
    ctr.delete_container("back")
}

//! Checkpoints as archives of the engine's, which containerd takes as they are.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_engine::archive::{self, Archive, Compression, Layout, Source};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Host, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new("archive::moves", moves)];

const LIMIT: Duration = Duration::from_secs(10);

/// The checkpoint's name.
const CHECKPOINT: &str = "remap.test/checkpoint:1";

/// A checkpoint that ctr has exported is read, and written again; then it goes from one host to the
/// other without a flag, and has all that it needs also when containerd has cleared what nobody uses.
fn moves(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let [exported, plain, ours] =
        ["exported.tar", "plain", "ours.tar"].map(|name| format!("{dir}/{name}"));
    let line = "n=0; while :; do n=$((n + 1)); echo $n >/new; mv /new /n; sleep 0.02; done";
    let run = a.run(context.runtime(), BUSYBOX_IMAGE, "archived");
    run.shell(line).start()?;
    let before = count_past(&a, 5)?;
    a.checkpoint("archived", CHECKPOINT)?;
    a.remove("archived")?;
    a.export_checkpoint(CHECKPOINT, &exported)?;

    let theirs = open(a.host(), &exported)?;
    ensure!(!theirs.kind().is_ours && theirs.kind().layout == Layout::Oci);
    theirs.unpack(&a.host().path(&plain), &mut go_on)?;
    let container = theirs.container().context("it has no container")?;
    ensure!(container.id == "archived", "it is {}", container.id);
    let source = Source {
        images: &a.host().path(&plain),
        container: Some(container),
        rootfs_diff: None,
        base_image: None,
        name: Some(CHECKPOINT),
    };
    let destination = a.host().path(&ours);
    archive::write(
        &source,
        Layout::Oci,
        Compression::None,
        &destination,
        &mut go_on,
    )?;
    ensure!(open(a.host(), &ours)?.kind().is_ours);

    context.link().copy_file(a.host(), &ours, b.host(), &ours)?;
    b.import_image(&ours)?;
    clear_unused(&b)?;
    b.restore("archived", CHECKPOINT)?;
    b.wait_for("archived", &Status::Running, LIMIT)?;
    count_past(&b, before)?;

    b.remove("archived")?;
    b.remove_image(CHECKPOINT)?;
    a.remove_image(CHECKPOINT)
}

/// Opens an archive in which nothing is wrong.
fn open(host: &Host, path: &str) -> Result<Archive> {
    let archive = archive::open(&host.path(path))?;
    let faults = archive.verify(&mut go_on)?;
    ensure!(faults.is_empty(), "{path}: {faults:?}");
    Ok(archive)
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Waits until containerd has removed what nothing refers to: it does so whenever a lease ends.
fn clear_unused(ctr: &Ctr) -> Result<()> {
    ctr.command(["leases", "create", "--id", "archive"])
        .check()?;
    ctr.command(["leases", "delete", "--sync", "archive"])
        .check()?;
    Ok(())
}

/// Waits until the container has counted past `from`.
fn count_past(ctr: &Ctr, from: u32) -> Result<u32> {
    let mut last = 0;
    let moved = wait::until(LIMIT, || {
        // The file is not there at once.
        let output = ctr.exec("archived", &["cat", "/n"])?;
        last = output.text().trim().parse().unwrap_or(0);
        Ok(last > from)
    })?;
    ensure!(moved, "it counts {last}, not past {from}");
    Ok(last)
}

//! The network namespace that the runtime makes for a container: after a restore its loopback device
//! is up, as it is after a start.

use anyhow::{Result, ensure};
use remap_test::image::{BUSYBOX_IMAGE, WORKLOAD_DIR};
use remap_test::{Ctr, Flavour, Runtime};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::self_check::expect_progress;
use crate::workload::{ID, wait_until_ready};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("network::loopback", loopback).runtimes(OURS),
    Scenario::new("network::loopback_stock", is_lost).runtimes(&[Runtime::Stock]),
    // CRIU 4.1 cannot dump any network socket on new kernels.
    Scenario::new("network::connections", connections)
        .runtimes(OURS)
        .flavours(&[Flavour::Forky]),
];

const OURS: &[Runtime] = &[Runtime::Remap, Runtime::DropIn];

const IMAGE: &str = "remap.test/network:1";

/// Whether the container reaches itself.
fn reaches_itself(ctr: &Ctr) -> Result<bool> {
    let output = ctr.exec(ID, &["ping", "-c", "1", "-W", "10", "127.0.0.1"])?;
    Ok(output.exit_code() == 0)
}

/// A container that has reached itself, after a restore.
fn restored(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .shell("while :; do sleep 0.2; done")
        .start()?;
    ensure!(reaches_itself(&ctr)?, "not even at first");
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    ctr.remove_image(IMAGE)
}

fn loopback(context: &Context) -> Result<()> {
    restored(context)?;
    let ctr = context.ctr();
    ensure!(reaches_itself(&ctr)?, "it does not reach itself any more");
    ctr.remove(ID)
}

/// What the stock shim makes of it.
fn is_lost(context: &Context) -> Result<()> {
    restored(context)?;
    let ctr = context.ctr();
    ensure!(!reaches_itself(&ctr)?, "the stock shim can do it, too");
    ctr.remove(ID)
}

/// Connections within a container go on, and new ones can be made.
fn connections(context: &Context) -> Result<()> {
    const NAME: &str = "loopback";
    let ctr = context.ctr();
    let script = format!("{WORKLOAD_DIR}/{NAME}.py");
    ctr.run(context.runtime(), context.python()?, ID)
        .flag(["--annotation", "io.remap.tcp-established=true"])
        .args(["python3", &script])
        .start()?;
    wait_until_ready(&ctr)?;
    let before = expect_progress(&ctr, NAME, 0)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    expect_progress(&ctr, NAME, before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

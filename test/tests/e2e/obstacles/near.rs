//! What looks like something that CRIU refuses.

use std::cell::Cell;

use anyhow::{Context as _, Result, ensure};
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, Flavour, wait};
use serde_json::Value;

use super::holder;
use crate::context::Context;
use crate::workload::{ID, LIMIT, wait_until_ready};

const IMAGE: &str = "remap.test/near:1";

/// All of it is dumped and comes back.
pub(super) fn near_misses(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let script = format!("{WORKLOAD_DIR}/near_misses.py");
    // CRIU 4.1 cannot dump any network socket on new kernels.
    let network = match context.flavour() {
        Flavour::Trixie => None,
        Flavour::Forky => Some("tcp"),
    };
    let args = ["python3", &script].into_iter().chain(network);
    holder::run(context)?.args(args).start()?;
    wait_until_ready(&ctr)?;
    let before = expect_progress(&ctr, 0)?;
    holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
    let before = expect_progress(&ctr, before)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    let before = expect_progress(&ctr, before)?;
    ctr.exec(ID, &["touch", "/workload-state/connect"])?.ok()?;
    expect_progress(&ctr, before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Waits until everything was looked at some more times, and all was good; returns how often.
fn expect_progress(ctr: &Ctr, from: u64) -> Result<u64> {
    let count = Cell::new(0);
    let mut bad = Value::Null;
    let path = "/workload-state/near-misses.json";
    let moved = wait::until(LIMIT, || {
        let output = ctr.exec(ID, &["cat", path])?;
        if output.exit_code() != 0 {
            return Ok(false);
        }
        let mut said: Value = serde_json::from_slice(&output.stdout).context("what it says")?;
        count.set(said["count"].as_u64().unwrap_or(0));
        bad = said["bad"].take();
        // At least one round has begun after the last look.
        Ok(count.get() >= from + 2)
    })?;
    ensure!(bad == Value::Array(vec![]), "not as it should be: {bad}");
    ensure!(moved, "it does not go on: {} after {from}", count.get());
    Ok(count.get())
}

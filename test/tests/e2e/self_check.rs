//! Workloads that look at all that they hold, again and again, and count how often.

use std::cell::Cell;

use anyhow::{Context as _, Result, ensure};
use remap_test::{Ctr, wait};
use serde_json::Value;

use crate::workload::{ID, LIMIT};

/// Waits until everything was looked at some more times, and all was good; returns how often. `name`
/// is that of the workload's file.
pub(crate) fn expect_progress(ctr: &Ctr, name: &str, from: u64) -> Result<u64> {
    let count = Cell::new(0);
    let mut bad = Value::Null;
    let path = format!("/workload-state/{name}.json");
    let moved = wait::until(LIMIT, || {
        let output = ctr.exec(ID, &["cat", &path])?;
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

//! A container restored beside the one that it was saved from: each has a cgroup of its own, and the
//! end of one is nothing to the other.

use anyhow::{Result, ensure};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::workload::LIMIT;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("beside::original", original).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("beside::original_stock", original_stock).runtimes(&[Runtime::Stock]),
];

const IMAGE: &str = "remap.test/beside:1";

/// The original runs, and the clone was restored, perhaps.
fn restore_beside(context: &Context, ctr: &Ctr) -> Result<()> {
    let line = "n=0; while :; do n=$((n + 1)); echo $n >/new; mv /new /n; sleep 0.02; done";
    ctr.run(context.runtime(), BUSYBOX_IMAGE, "first")
        .shell(line)
        .start()?;
    count(ctr, "first", 5)?;
    ctr.checkpoint("first", IMAGE)?;
    ctr.restore("second", IMAGE)
}

/// Waits until the counter has passed `from`, and returns where it is.
fn count(ctr: &Ctr, id: &str, from: u32) -> Result<u32> {
    let mut last = 0;
    let moved = wait::until(LIMIT, || {
        let output = ctr.exec(id, &["cat", "/n"])?;
        last = output.text().parse().unwrap_or(0);
        Ok(last > from)
    })?;
    ensure!(moved, "{id} counts {last}, not past {from}");
    Ok(last)
}

/// The paths of the init's cgroups.
fn cgroups(ctr: &Ctr, id: &str) -> Result<String> {
    let pid = ctr.wait_for(id, &Status::Running, LIMIT)?.pid;
    let cgroups = ctr.host().read_file(&format!("/proc/{pid}/cgroup"))?;
    Ok(String::from_utf8(cgroups)?)
}

fn original(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    restore_beside(context, &ctr)?;
    let (first, second) = (cgroups(&ctr, "first")?, cgroups(&ctr, "second")?);
    ensure!(
        first.contains("/default/first") && !first.contains("/default/second"),
        "the first is in {first}"
    );
    ensure!(
        second.contains("/default/second") && !second.contains("/default/first"),
        "the second is in {second}"
    );
    ctr.pause("first")?;
    count(&ctr, "second", count(&ctr, "second", 5)?)?;
    ctr.remove("first")?;
    count(&ctr, "second", count(&ctr, "second", 5)?)?;
    ctr.remove_image(IMAGE)?;
    // It can be saved and come back as well.
    ctr.checkpoint("second", IMAGE)?;
    ctr.remove("second")?;
    ctr.restore("second", IMAGE)?;
    count(&ctr, "second", 5)?;
    ctr.remove("second")?;
    ctr.remove_image(IMAGE)
}

/// The stock shim fails, or puts both into one cgroup, as the runtime decides.
fn original_stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    if restore_beside(context, &ctr).is_ok() {
        let second = cgroups(&ctr, "second")?;
        ensure!(
            second.contains("/default/first"),
            "the second is in {second}"
        );
    }
    ctr.remove("second")?;
    ctr.remove("first")?;
    ctr.remove_image(IMAGE)
}

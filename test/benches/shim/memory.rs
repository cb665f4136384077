//! Memory of shims whose containers do nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use remap_test::{Ctr, image};

use crate::figure::{Aim, Figure, interleaved};
use crate::idle;

/// The mean of the proportional set sizes (proc_pid_smaps_rollup(5)) of one idle shim, and of ten;
/// no other of its kind runs.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    for (shims, rounds, what, aim) in [
        (1, 7, "PSS of an idle shim", 0.25),
        (10, 3, "PSS of ten idle shims, the mean", 0.3),
    ] {
        let [sizes] = interleaved(rounds, |runtime, _| {
            let ids: Vec<_> = (0..shims).map(|number| format!("idle-{number}")).collect();
            for id in &ids {
                idle::start(ctr, runtime, image::BUSYBOX_IMAGE, id)?;
            }
            std::thread::sleep(Duration::from_secs(2));
            let sizes = ids.iter().map(|id| proportional(ctr, id));
            let sum = sizes.sum::<Result<f64>>()?;
            idle::stop(ctr)?;
            Ok([sum / f64::from(shims)])
        })?;
        Figure::of(what, "MB", &sizes, Some(Aim::Ratio(aim))).print();
    }
    Ok(())
}

/// In megabytes, of the shim of a container.
fn proportional(ctr: &Ctr<'_>, id: &str) -> Result<f64> {
    let rollup = format!("/proc/{}/smaps_rollup", idle::shim(ctr, id)?);
    let line = format!("awk '/^Pss:/ {{ print $2 }}' {rollup}");
    let kib: f64 = ctr.host().shell(&line)?.text().parse().context("no Pss")?;
    Ok(kib * 1024.0 / 1e6)
}

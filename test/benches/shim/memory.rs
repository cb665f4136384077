//! Memory of a shim whose container does nothing.

use anyhow::{Context, Result};
use remap_test::{Ctr, image};

use crate::{RUNTIMES, report};

/// Proportional set size of one idle shim (proc_pid_smaps_rollup(5)), in MiB; nothing else of its
/// kind runs.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    let mut sizes = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (runtime, sizes) in RUNTIMES.into_iter().zip(&mut sizes) {
            ctr.run(runtime, image::BUSYBOX_IMAGE, "idle")
                .args(["sleep", "600"])
                .start()?;
            let line = "sleep 1; awk '/^Pss:/ { print $2 }' /proc/$(pgrep -f '[s]him.* -id idle ')/smaps_rollup";
            let output = ctr.host().shell(line)?;
            let kib: f64 = output.text().parse().context("no Pss in smaps_rollup")?;
            sizes.push(kib / 1024.0);
            ctr.remove("idle")?;
        }
    }
    report("PSS of an idle shim", "MiB", sizes);
    Ok(())
}

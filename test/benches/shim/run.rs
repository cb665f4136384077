//! A whole container's life.

use std::time::Instant;

use anyhow::Result;
use remap_test::{Ctr, image};

use crate::{RUNTIMES, report};

const ROUNDS: usize = 30;

/// `ctr run --rm` of `true`, in milliseconds.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (runtime, times) in RUNTIMES.into_iter().zip(&mut times) {
            let started = Instant::now();
            let run = ctr.run(runtime, image::BUSYBOX_IMAGE, &format!("true-{round}"));
            run.flag(["--null-io"]).args(["true"]).output()?.ok()?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    report("ctr run --rm --null-io true", "ms", times);
    Ok(())
}

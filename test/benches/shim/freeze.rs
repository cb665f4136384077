//! How long a container stands still while a checkpoint of it is taken, seen from inside.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remap_test::{Ctr, Runtime, image, wait};

use crate::{RUNTIMES, report};

const ROUNDS: usize = 20;

const SHM: &str = "/run/bench-shm";

/// Touches 256 MiB, then notes the longest gap between two looks at the clock, in milliseconds.
/// The file `fresh` is there from the moment when the gap is counted anew.
const WORKLOAD: &str = "
import os, time
memory = bytearray(os.urandom(1 << 20)) * 256
longest, last = 0.0, time.monotonic()
while True:
    time.sleep(0.0005)
    now = time.monotonic()
    if os.path.exists('/reset'):
        longest = 0.0
        os.rename('/reset', '/fresh')
    elif now - last > longest:
        longest = now - last
        with open('/new', 'w') as file:
            file.write(str(longest * 1e3))
        os.rename('/new', '/longest')
    last = time.monotonic()
";

/// A leave-running checkpoint of a container with 256 MiB of memory: with both shims without any
/// external mount, where ours has no more to do than the stock one; and with ours and 64 MiB on an
/// external tmpfs, which the stock one loses.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    let mut gaps = [Vec::new(), Vec::new()];
    let mut totals = [Vec::new(), Vec::new()];
    let mut carrying = Vec::new();
    ctr.host().shell(&format!(
        "mkdir -p {SHM}; mount -t tmpfs shm {SHM}; head -c 64M /dev/urandom > {SHM}/data"
    ))?;
    for _ in 0..ROUNDS {
        for (index, runtime) in RUNTIMES.into_iter().enumerate() {
            let (gap, total) = checkpoint(ctr, runtime, false)?;
            for (figures, value) in [(&mut gaps, gap), (&mut totals, total)] {
                figures
                    .get_mut(index)
                    .context("no such runtime")?
                    .push(value);
            }
        }
        carrying.push(checkpoint(ctr, Runtime::Remap, true)?.0);
    }
    let [stock, _] = gaps.clone();
    report("256 MiB, leave-running: longest stand-still", "ms", gaps);
    report(
        "  ours carries 64 MiB of external tmpfs as well",
        "ms",
        [stock, carrying],
    );
    report("  ctr t checkpoint as a whole", "ms", totals);
    Ok(())
}

/// The longest gap and the time of the whole command, in milliseconds.
fn checkpoint(ctr: &Ctr<'_>, runtime: Runtime, shm: bool) -> Result<(f64, f64)> {
    const ID: &str = "freeze";
    const IMAGE: &str = "remap.test/checkpoint:freeze";
    let mut run = ctr
        .run(runtime, image::PYTHON_IMAGE, ID)
        .args(["python3", "-c", WORKLOAD]);
    if shm {
        run = run.bind(SHM, "/dev/shm");
    }
    run.start()?;
    let exists = |path: &str| Ok(ctr.exec(ID, &["test", "-e", path])?.status.success());
    ensure!(
        wait::until(Duration::from_secs(20), || exists("/longest"))?,
        "no gap is noted"
    );
    ctr.exec(ID, &["touch", "/reset"])?.ok()?;
    ensure!(
        wait::until(Duration::from_secs(5), || exists("/fresh"))?,
        "the gap is not reset"
    );
    let started = Instant::now();
    ctr.command(["task", "checkpoint", ID, IMAGE])
        .timeout(Duration::from_secs(60))
        .check()?;
    let total = started.elapsed().as_secs_f64() * 1e3;
    let output = ctr.exec(ID, &["cat", "/longest"])?.ok()?;
    let gap = output.text().parse().context("the gap is no number")?;
    ctr.remove(ID)?;
    ctr.command(["image", "rm", "--sync"])
        .args(
            ctr.images()?
                .iter()
                .filter(|name| name.contains("checkpoint")),
        )
        .check()?;
    Ok((gap, total))
}

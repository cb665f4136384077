//! Output, from a process through the shim to the client.

use anyhow::{Context, Result};
use remap_test::{Ctr, image};

use crate::figure::{Aim, Figure, interleaved};
use crate::{RUNTIMES, idle};

/// Writes so many times 64 KiB to its output, and says how many seconds that took.
const WORKLOAD: &str = "
import os, sys, time
block = bytes(1 << 16)
started = time.monotonic()
for _ in range(int(sys.argv[1])):
    os.write(1, block)
print(time.monotonic() - started, file=sys.stderr)
";

/// 20 MiB of an exec: how long its process takes to write them, and for how long the shim has a CPU
/// meanwhile (proc_pid_schedstat(5) counts nanoseconds), start and end of the exec and all. What it
/// takes for one without output stands beside it.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    for runtime in RUNTIMES {
        idle::start(ctr, runtime, image::PYTHON_IMAGE, runtime.name())?;
    }
    let [times, loud, silent] = interleaved(40, |runtime, round| {
        let id = runtime.name();
        let shim = idle::shim(ctr, id)?;
        let exec = |blocks: u32| {
            let line = format!(
                "ctr task exec --exec-id relay-{round}-{blocks} {id} python3 -c '{WORKLOAD}' \
                 {blocks} >/dev/null"
            );
            let before = on_cpu(ctr, shim)?;
            let said = ctr.host().shell(&line)?.error_text().into_owned();
            let seconds: f64 = said.parse().context("the workload says no time")?;
            Ok::<_, anyhow::Error>((1e3 * seconds, on_cpu(ctr, shim)? - before))
        };
        let (_, silent) = exec(0)?;
        let (time, loud) = exec(320)?;
        Ok([time, loud, silent])
    })?;
    let aim = Some(Aim::Ratio(0.8));
    Figure::of(
        "20 MiB of an exec's output, until they are written",
        "ms",
        &times,
        aim,
    )
    .print();
    Figure::of("CPU time of the shim for that exec", "ms", &loud, aim).print();
    let aim = Some(Aim::Ratio(0.5));
    Figure::of(
        "CPU time of the shim for an exec without output",
        "ms",
        &silent,
        aim,
    )
    .print();
    idle::stop(ctr)
}

/// The CPU time of all threads of a process, in milliseconds.
fn on_cpu(ctr: &Ctr<'_>, pid: u32) -> Result<f64> {
    let line = format!(
        "awk '{{ sum += $1 }} END {{ printf \"%.0f\", sum }}' /proc/{pid}/task/*/schedstat"
    );
    let nanoseconds: f64 = ctr.host().shell(&line)?.text().parse()?;
    Ok(nanoseconds / 1e6)
}

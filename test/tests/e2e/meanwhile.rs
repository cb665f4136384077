//! What is asked while a dump is under way is answered.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use remap_test::Runtime;
use remap_test::ctr::Status;

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::new("meanwhile::state", state).runtimes(&[Runtime::Remap])];

const IMAGE: &str = "remap.test/meanwhile:1";

/// After this time containerd calls a task's state unknown (`task.state` in its
/// configuration of time-outs).
const PATIENCE: Duration = Duration::from_secs(2);

/// The state of a container of 512 MiB.
fn state(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "memory 512")?;
    let before = workload.probe(&ctr)?;
    let criu_runs = || -> Result<bool> {
        let output = context.a().command("pgrep").args(["-x", "criu"]).run()?;
        Ok(output.exit_code() == 0)
    };

    let checkpoint = ctr
        .command(["container", "checkpoint", "--task", "--rw", ID, IMAGE])
        .spawn()?;
    let mut during = 0;
    while checkpoint.is_running()? {
        let dumped = criu_runs()?;
        let asked = Instant::now();
        let task = ctr.task(ID)?.context("the task is not listed")?;
        let took = asked.elapsed();
        ensure!(took < PATIENCE, "the answer takes {took:?}");
        ensure!(
            !matches!(task.status, Status::Unknown | Status::Stopped),
            "it is {task:?}"
        );
        during += u32::from(dumped && criu_runs()?);
    }
    checkpoint.finish(LIMIT)?.ok()?;
    ensure!(during > 0, "the dump was too quick to be watched");
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

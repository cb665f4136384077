//! What is asked while a dump is under way is answered.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use remap_test::Runtime;
use remap_test::ctr::Status;
use remap_test::shim::Api;

use crate::context::Context;
use crate::interrupted::ground::Ground;
use crate::interrupted::window::Stage;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("meanwhile::state", state).runtimes(&[Runtime::Remap]),
    Scenario::new("meanwhile::held", held).runtimes(&[Runtime::DropIn]),
];

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

/// While a dump is held for ten seconds, most questions for the state are answered
/// within a tenth of a second: by the shim itself, without `ctr`, which takes longer to
/// start.
fn held(context: &Context) -> Result<()> {
    const HOLD: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_millis(100);
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    let api = Api::connect(context.a(), ID)?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    let mut answers = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < HOLD {
        let asked = Instant::now();
        ensure!(api.is_paused()?, "the container runs while it is dumped");
        answers.push(asked.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    ensure!(checkpoint.is_running()?, "the dump was not held");
    ground.window.open()?;
    checkpoint.finish(LIMIT)?.ok()?;
    answers.sort();
    let median = answers.get(answers.len() / 2).context("no answer")?;
    ensure!(
        *median < MOST,
        "of {} answers half took {median:?} or more",
        answers.len()
    );
    ensure!(ground.take_checkpoint()?, "no checkpoint");
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)
}

//! The container's state around a plan.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::wait;

use super::{IMAGE, ask};
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// After this time containerd calls a task's state unknown.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who ran runs on, who was paused stays paused.
pub(super) fn frozen(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "counter")?;
    let before = workload.probe(&ctr)?;
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;

    for freeze in [false, true] {
        let options = if freeze { &["--freeze"][..] } else { &[] };
        let document = ask::json(&ctr, ID, options, 0)?;
        ensure!(document["container"]["frozen"] == freeze, "{document}");
        ensure!(document["container"]["status"] == "running", "{document}");
        ensure!(ctr.task(ID)?.as_ref() == Some(&task), "{:?}", ctr.task(ID)?);
        // Its numbers go on, or this fails.
        workload.expect_same(&ctr, &before)?;
    }

    ctr.pause(ID)?;
    let contents = shm.contents()?;
    for options in [&[][..], &["--freeze"]] {
        let document = ask::json(&ctr, ID, options, 0)?;
        ensure!(document["container"]["frozen"] == true, "{document}");
        ensure!(document["container"]["status"] == "paused", "{document}");
        ctr.wait_for(ID, &Status::Paused, LIMIT)?;
    }
    ensure!(shm.contents()? == contents, "it ran while it was paused");
    ctr.resume(ID)?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)
}

/// While a dump is under way a plan is refused at once, and the state is known.
pub(super) fn during_dump(context: &Context) -> Result<()> {
    let (ctr, host, dir) = (context.ctr(), context.a(), context.dir()?);
    let script = format!("{dir}/script");
    let line = format!(
        "#!/bin/sh\n\
         [ $CRTOOLS_SCRIPT_ACTION = post-dump ] || exit 0\n\
         touch {dir}/held\n\
         while [ ! -e {dir}/go ]; do sleep 0.05; done\n"
    );
    host.write_file(&script, line)?;
    host.command("chmod").args(["755", &script]).check()?;
    host.write_file(
        &format!("{dir}/criu.conf"),
        format!("action-script {script}\n"),
    )?;
    let shm = Shm::mount(host, ID)?;
    let conf = format!("{dir}/criu.conf");
    let workload = Workload::start_by(context, &shm, "counter", |run| {
        run.annotation("org.criu.config", &conf)
    })?;
    let before = workload.probe(&ctr)?;

    let checkpoint = ctr
        .command(["container", "checkpoint", "--task", "--rw", ID, IMAGE])
        .spawn()?;
    let held = || Ok(host.path(format!("{dir}/held")).exists());
    ensure!(wait::until(LIMIT, held)?, "the dump does not begin");
    for options in [&[][..], &["--freeze"]] {
        let answer = ask::plan(&ctr, ID, options)?;
        ask::expect(&answer, 3, &["cannot plan", "it is being checkpointed"])?;
    }
    let asked = Instant::now();
    let task = ctr.task(ID)?.context("the task is not listed")?;
    ensure!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    ensure!(
        !matches!(task.status, Status::Unknown | Status::Stopped),
        "{task:?}"
    );
    ensure!(checkpoint.is_running()?, "the dump was not held");

    host.write_file(&format!("{dir}/go"), "")?;
    checkpoint.finish(LIMIT)?.ok()?;
    ask::expect(&ask::plan(&ctr, ID, &[])?, 0, &[])?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

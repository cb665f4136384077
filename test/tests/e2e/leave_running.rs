//! A checkpoint of a container that goes on: again and again, and each restores.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("leave_running::twice", twice).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("leave_running::exec_session", exec_session).runtimes(&[Runtime::Remap]),
    Scenario::new("leave_running::paused", paused).runtimes(&[Runtime::DropIn]),
];

const IMAGE: &str = "remap.test/running:1";

/// The container runs on and shows nothing of its checkpoints, of which the other
/// host restores either.
fn twice(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let a_shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &a_shm, "sem-creator-first")?;
    let names = a_shm.names()?;
    let task = a.wait_for(ID, &Status::Running, LIMIT)?;
    let before = workload.probe(&a)?;
    let archives = ["first", "second"].map(|name| format!("{dir}/{name}.tar"));
    for archive in &archives {
        a.checkpoint(ID, IMAGE)?;
        let now = a.wait_for(ID, &Status::Running, LIMIT)?;
        ensure!(now == task, "{task:?} became {now:?}");
        workload.expect_same(&a, &before)?;
        a_shm.expect_names(&names)?;
        a.export_checkpoint(IMAGE, archive)?;
        // With the first image still there, containerd 1.7 would leave the task out
        // of the second one without a word: they have a part in common.
        a.remove_image(IMAGE)?;
    }

    for archive in &archives {
        let b_shm = Shm::mount(context.b(), ID)?;
        context
            .link()
            .copy_file(a.host(), archive, b.host(), archive)?;
        b.import_checkpoint(archive)?;
        b.restore(ID, IMAGE)?;
        workload.expect_same(&b, &before).context(archive.clone())?;
        b_shm.expect_names(&names).context(archive.clone())?;
        b.remove(ID)?;
        b.remove_image(IMAGE)?;
    }

    workload.expect_same(&a, &before)?;
    a.remove(ID)
}

/// Somebody works in the container. That is no part of the checkpoint, and goes on.
fn exec_session(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let own = ctr.pids(ID)?.len();
    let session = ctr
        .command(["task", "exec", "--exec-id", "session", ID, "sleep", "600"])
        .spawn()?;
    let begun = || Ok(ctr.pids(ID)?.len() == own + 1);
    ensure!(wait::until(LIMIT, begun)?, "the session does not begin");
    let pids = ctr.pids(ID)?;
    let before = workload.probe(&ctr)?;

    ctr.checkpoint(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    ensure!(
        session.is_running()? && ctr.pids(ID)? == pids,
        "not {pids:?} but {:?}",
        ctr.pids(ID)?
    );
    ctr.remove(ID)?;
    session.finish(LIMIT)?;

    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    ensure!(ctr.pids(ID)?.len() == own, "not {own} processes");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Who is paused stays paused, and goes on when told. (`ctr container checkpoint`
/// fails with any shim if the container is paused already.)
fn paused(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let images = format!("{}/images", context.dir()?);
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "counter")?;
    let before = workload.probe(&ctr)?;
    ctr.pause(ID)?;
    let contents = shm.contents()?;
    ctr.checkpoint_task(ID, &images, &format!("{images}-work"), false)?;
    ctr.wait_for(ID, &Status::Paused, LIMIT)?;
    let again = ctr
        .clone()
        .without_plan("the image directory holds a checkpoint already")
        .checkpoint_task(ID, &images, &format!("{images}-work"), false);
    ensure!(again.is_err(), "a checkpoint was overwritten");
    ctr.wait_for(ID, &Status::Paused, LIMIT)?;
    ensure!(shm.contents()? == contents, "it ran while it was paused");
    ctr.resume(ID)?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)
}

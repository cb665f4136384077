//! CRIU fails in the middle of a dump, when it has made links already.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Ctr, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("dump_failure::goes_on", goes_on).runtimes(&[Runtime::Remap, Runtime::DropIn])
];

const IMAGE: &str = "remap.test/failed:1";

/// The container goes on, and can be dumped when the cause is gone.
fn goes_on(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let dir = context.dir()?;
    let inside = format!("{dir}/inside");
    context.a().command("mkdir").arg(&inside).check()?;
    let workload = Workload::start_by(context, &shm, "sem-creator-first", |run| {
        run.bind(&inside, "/inside")
    })?;
    let cause = hold_file(&ctr)?;
    let away = ["-T", &format!("{inside}/held"), &format!("{dir}/away")];
    context.a().command("mv").args(away).check()?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;

    let error = ctr
        .clone()
        .without_plan("it is to be CRIU that fails, in the middle of the dump")
        .checkpoint(ID, IMAGE)
        .err()
        .context("CRIU can dump the file")?
        .to_string();
    ensure!(error.contains("phase dump"), "no phase in {error:?}");
    expect_kept_log(context, &error)?;
    ensure!(
        ctr.wait_for(ID, &Status::Running, LIMIT)? == task,
        "it is another task"
    );
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;
    ensure!(
        ctr.images()?.iter().all(|image| image != IMAGE),
        "there is an image"
    );

    ctr.exec(ID, &["kill", &cause])?.ok()?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// The error names CRIU's log, which is there, though the working directory is not.
fn expect_kept_log(context: &Context, error: &str) -> Result<()> {
    let (_, rest) = error
        .split_once("CRIU's log: ")
        .with_context(|| format!("no log in {error:?}"))?;
    let path = rest.split(')').next().unwrap_or_default();
    let log = context.a().read_file(path)?;
    let log = String::from_utf8_lossy(&log);
    ensure!(log.contains("Dumping FAILED"), "{path} holds {log:?}");
    Ok(())
}

/// Adds a process with a file on the bind to the container's own: an orphan becomes a child of the
/// first. Returns its pid there. When the host moves the file out of what the bind shows, it has no
/// path there any more, and CRIU finds that out when it comes to it.
fn hold_file(ctr: &Ctr) -> Result<String> {
    let line = "touch /inside/held; setsid sleep 1000 3</inside/held </dev/null >/dev/null 2>&1 & \
                echo $!";
    let said = ctr.exec(ID, &["sh", "-c", line])?.ok()?;
    let pid = said.text().trim().to_owned();
    let holds = || {
        let held = ctr.exec(ID, &["readlink", &format!("/proc/{pid}/fd/3")])?;
        Ok(held.text() == "/inside/held")
    };
    ensure!(wait::until(LIMIT, holds)?, "process {pid} has no file");
    Ok(pid)
}

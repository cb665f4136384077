//! A file that others use as well cannot be carried: the checkpoint is refused before
//! anything is touched, and the error says who they are.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("refusal::host_process", host_process)
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("refusal::container", container).runtimes(REMAP),
    Scenario::new("refusal::not_if_only_mounted", not_if_only_mounted).runtimes(REMAP),
    Scenario::new("refusal::exec_session_at_exit", exec_session_at_exit)
        .runtimes(&[Runtime::DropIn]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/refused:1";

const OTHER: &str = "other";

/// Holds the workload's semaphore, as one that has opened it by name.
const HOLD: &str = "exec 9<sem.scenario && exec sleep 600";

/// A process of the host has a file of the container's open.
fn host_process(context: &Context) -> Result<()> {
    let (ctr, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let line = format!("echo $$ && {HOLD}");
    let other = context
        .a()
        .command("sh")
        .args(["-c", &line])
        .current_dir(shm.path())
        .spawn()?;
    let said = || Ok(other.stdout_so_far().ends_with(b"\n"));
    ensure!(
        wait::until(LIMIT, said)?,
        "the process does not say its pid"
    );
    let pid = String::from_utf8(other.stdout_so_far())?;
    wait_for_other(context, pid.trim())?;
    expect_refusal(context, workload, &shm, pid.trim())?;

    other.kill()?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// A checkpoint that ends the container would lose what `exec` put into it.
fn exec_session_at_exit(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let (images, work) = (format!("{dir}/images"), format!("{dir}/work"));
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let before = workload.probe(&ctr)?;
    let own = ctr.pids(ID)?.len();
    let session = ctr
        .command(["task", "exec", "--exec-id", "session", ID, "sleep", "601"])
        .spawn()?;
    let begun = || Ok(ctr.pids(ID)?.len() == own + 1);
    ensure!(wait::until(LIMIT, begun)?, "the session does not begin");

    let refused = ctr.checkpoint_task(ID, &images, &work, true);
    let error = refused.err().context("the session was lost")?.to_string();
    for part in ["(sleep)", "io.remap.lose-exec-sessions"] {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    workload.expect_same(&ctr, &before)?;
    ensure!(session.is_running()?, "the session has ended");
    let left = context.a().command("test").args(["-e", &images]).run()?;
    ensure!(!left.status.success(), "{images} is left over");

    ctr.command([
        "task",
        "kill",
        "--exec-id",
        "session",
        "--signal",
        "SIGKILL",
        ID,
    ])
    .check()?;
    session.finish(LIMIT)?;
    ctr.checkpoint_task(ID, &images, &work, true)?;
    ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
    ctr.remove(ID)
}

/// Another container has one open.
fn container(context: &Context) -> Result<()> {
    let (ctr, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, OTHER)
        .bind(shm.path(), "/dev/shm")
        .shell(&format!("cd /dev/shm && {HOLD}"))
        .start()?;
    let pid = ctr
        .wait_for(OTHER, &Status::Running, LIMIT)?
        .pid
        .to_string();
    wait_for_other(context, &pid)?;
    expect_refusal(context, workload, &shm, &pid)?;

    ctr.remove(OTHER)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// Another container has the tmpfs too, and no file of it open, as the pause
/// container of a pod; being in its directory is not using it.
fn not_if_only_mounted(context: &Context) -> Result<()> {
    let (ctr, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    ctr.run(context.runtime(), BUSYBOX_IMAGE, OTHER)
        .bind(shm.path(), "/dev/shm")
        .shell("cd /dev/shm && exec sleep 600")
        .start()?;
    let workload = Workload::start(context, &shm, "named-only")?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(OTHER)
}

/// The checkpoint fails and names the other by its `pid`; the container goes on,
/// and nothing is left of the attempt.
fn expect_refusal(context: &Context, workload: Workload, shm: &Shm, pid: &str) -> Result<()> {
    let ctr = context.ctr();
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    let error = ctr
        .checkpoint(ID, IMAGE)
        .err()
        .context("the checkpoint is not refused")?
        .to_string();
    let pid = format!("pid {pid} ");
    for part in [&pid, "sleep", "/dev/shm", shm.path(), "sem.scenario"] {
        ensure!(error.contains(part), "no {part:?} in {error:?}");
    }
    shm.expect_names(&names)?;
    workload.expect_same(&ctr, &before)?;
    expect_no_trace(context)
}

/// No image, and no meeting point of a dump in the bundle.
fn expect_no_trace(context: &Context) -> Result<()> {
    let images = context.ctr().images()?;
    ensure!(
        images.iter().all(|image| image != IMAGE),
        "there is an image"
    );
    let hold = format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}/remap/hold");
    ensure!(!context.a().path(&hold).exists(), "{hold} is left");
    Ok(())
}

/// Waits until the other process holds the file and is what it becomes.
fn wait_for_other(context: &Context, pid: &str) -> Result<()> {
    let line = format!("readlink /proc/{pid}/fd/9 && grep -qx sleep /proc/{pid}/comm");
    let there = || {
        let output = context.a().command("sh").args(["-c", &line]).run()?;
        Ok(output.status.success())
    };
    ensure!(wait::until(LIMIT, there)?, "nobody comes");
    Ok(())
}

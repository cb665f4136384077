//! A restore onto a tmpfs that others use on the target: what is theirs stays.

use anyhow::{Context as _, Result, ensure};
use remap_test::{Background, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("in_use::beside_others", beside_others).runtimes(REMAP),
    Scenario::new("in_use::listener", listener).runtimes(REMAP),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/in-use:1";

/// Names that are free are added; one that is taken stops the restore before
/// anything is touched, and the error says who is there.
fn beside_others(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;

    let line = format!(
        "exec 9>{} && echo theirs >&9 && exec sleep 600",
        shm.file("neighbour")
    );
    let neighbour = hold(context, &shm, &line)?;
    context
        .a()
        .shell(&format!("echo taken >{}", shm.file("sem.scenario")))?;
    let contents = shm.contents()?;
    let error = ctr
        .restore(ID, IMAGE)
        .err()
        .context("the name was taken")?
        .to_string();
    for part in ["sem.scenario", "(sleep", "neighbour", shm.path()] {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    ensure!(shm.contents()? == contents, "the tmpfs has changed");
    ctr.remove(ID)?;

    context
        .a()
        .shell(&format!("rm {}", shm.file("sem.scenario")))?;
    ctr.restore(ID, IMAGE)?;
    let theirs = context.a().read_file(&shm.file("neighbour"))?;
    ensure!(theirs == b"theirs\n", "the neighbour's file is {theirs:?}");
    context
        .a()
        .shell(&format!("rm {}", shm.file("neighbour")))?;
    workload.expect_same(&ctr, &before)?;
    neighbour.kill()?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Who only listens on a socket there holds nothing on the tmpfs, and is a user all the same.
fn listener(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;

    let socket = shm.file("neighbour");
    // It answers with a file: what a program says that ends at once, socat may lose.
    let answer = format!("{}/answer", context.dir()?);
    context.a().write_file(&answer, "theirs\n")?;
    let line = format!("exec socat -U UNIX-LISTEN:{socket},fork OPEN:{answer},rdonly");
    let neighbour = hold(context, &shm, &line)?;
    ctr.restore(ID, IMAGE)?;
    let answer = context
        .a()
        .shell(&format!("socat -u UNIX-CONNECT:{socket} -"))?;
    ensure!(answer.text() == "theirs", "the listener says {answer:?}");
    neighbour.kill()?;
    context.a().shell(&format!("rm -f {socket}"))?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Starts a process of the host and waits until `neighbour` is in the tmpfs.
fn hold(context: &Context, shm: &Shm, line: &str) -> Result<Background> {
    let process = context.a().command("sh").args(["-c", line]).spawn()?;
    let there = || {
        let command = context.a().command("test");
        let found = command.args(["-e", &shm.file("neighbour")]).run()?;
        Ok(found.status.success())
    };
    ensure!(wait::until(LIMIT, there)?, "the neighbour does not come");
    Ok(process)
}

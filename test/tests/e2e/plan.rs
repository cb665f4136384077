//! `remapctl plan`: what a checkpoint would do, without doing it. That its verdict is right is seen
//! at every checkpoint of every scenario ([`remap_test::ctr::truth`]).

mod ask;
mod busy;
mod faults;
mod meanwhile;
mod no_answer;

use anyhow::{Context as _, Result, ensure};
use remap_test::{Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

use ask::{expect, plan};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("plan::works", works).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("plan::shared", shared).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("plan::split", split).runtimes(REMAP),
    Scenario::new("plan::exec_session", exec_session).runtimes(&[Runtime::DropIn]),
    Scenario::new("plan::busy", busy::busy).runtimes(REMAP),
    Scenario::new("plan::frozen", meanwhile::frozen).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("plan::faults", faults::faults).runtimes(&[Runtime::DropIn]),
    Scenario::new("plan::during_dump", meanwhile::during_dump).runtimes(REMAP),
    Scenario::new("plan::no_answer", no_answer::no_answer).runtimes(REMAP),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/planned:1";

/// As a table and as JSON, and then a checkpoint that does the same.
fn works(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;

    let answer = plan(&ctr, ID, &[])?;
    expect(
        &answer,
        0,
        &[
            "/dev/shm",
            "private tmpfs",
            "carried, ",
            shm.path(),
            "left to CRIU and the snapshotter: /, ",
            "verdict: a checkpoint would work",
        ],
    )?;
    let document = ask::json(&ctr, ID, &[], 0)?;
    ensure!(document["verdict"] == "works", "{document}");
    let carried = document["carried"][0].clone();
    ensure!(
        carried["mounts"][0] == "/dev/shm" && carried["allocated_bytes"].as_u64() > Some(0),
        "{carried}"
    );
    let task = ctr.task(ID)?.context("no task")?;
    let is_held = |file: &&serde_json::Value| {
        file["decision"] == "carried" && file["holders"][0]["pid"].as_u64() >= Some(1)
    };
    let files = document["plan"]["files"].as_array().context("no files")?;
    ensure!(files.iter().any(|file| is_held(&file)), "{document}");
    ensure!(document["container"]["pid"] == task.pid, "{document}");
    for name in ["criu", "runtime", "kernel", "containerd-shim-remap-v2"] {
        ensure!(
            document["versions"][name].is_string(),
            "no version of {name}"
        );
    }
    shm.expect_names(&names)?;
    workload.expect_same(&ctr, &before)?;

    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// Another process has a file of the container's open, until it is stopped as the plan advises.
fn shared(context: &Context) -> Result<()> {
    let (ctr, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let before = workload.probe(&ctr)?;
    let other = context
        .a()
        .command("sh")
        .args(["-c", "exec 9<sem.scenario && echo $$ && exec sleep 600"])
        .current_dir(shm.path())
        .spawn()?;
    let said = || Ok(other.stdout_so_far().ends_with(b"\n"));
    ensure!(wait::until(LIMIT, said)?, "the process does not begin");
    let pid = String::from_utf8(other.stdout_so_far())?;

    let pid = format!("pid {}", pid.trim());
    let parts = [
        &*pid,
        "shared tmpfs",
        "sem.scenario",
        "remedy: stop them",
        "WOULD BE REFUSED, for 1 reason",
    ];
    expect(&plan(&ctr, ID, &[])?, 1, &parts)?;
    let document = ask::json(&ctr, ID, &[], 1)?;
    ensure!(document["verdict"] == "refused", "{document}");
    let refusal = document["refusals"][0]["what"].as_str().unwrap_or_default();
    ensure!(refusal.contains(&pid), "no {pid} in {refusal}");
    ensure!(ctr.checkpoint(ID, IMAGE).is_err(), "it is not refused");

    other.kill()?;
    expect(&plan(&ctr, ID, &[])?, 0, &["private tmpfs"])?;
    workload.expect_same(&ctr, &before)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// Two parts of a tmpfs, and a file with a name in each.
fn split(context: &Context) -> Result<()> {
    let (ctr, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    let other = Shm::mount(context.a(), "parts")?;
    let [one, two] = ["one", "two"].map(|name| other.file(name));
    context.a().shell(&format!(
        "mkdir {one} {two} && touch {one}/file && ln {one}/file {two}/file"
    ))?;
    Workload::start_by(context, &shm, "sem-creator-first", |run| {
        run.bind(&one, "/one").bind(&two, "/two")
    })?;
    let parts = [
        "on /one",
        "on /two",
        "would become two files",
        "WOULD BE REFUSED",
    ];
    expect(&plan(&ctr, ID, &[])?, 1, &parts)?;
    ensure!(ctr.checkpoint(ID, IMAGE).is_err(), "it is not refused");
    ctr.remove(ID)
}

/// What `exec` put into the container is lost if it ends with the checkpoint.
fn exec_session(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    Workload::start(context, &shm, "sem-creator-first")?;
    let own = ctr.pids(ID)?.len();
    let session = ctr
        .command(["task", "exec", "--exec-id", "session", ID, "sleep", "602"])
        .spawn()?;
    let begun = || Ok(ctr.pids(ID)?.len() == own + 1);
    ensure!(wait::until(LIMIT, begun)?, "the session does not begin");

    expect(&plan(&ctr, ID, &[])?, 0, &["(sleep)", "go on here"])?;
    let parts = ["(sleep)", "would be lost", "io.remap.lose-exec-sessions"];
    expect(&plan(&ctr, ID, &["--exit"])?, 1, &parts)?;
    expect(&plan(&ctr, ID, &["--exit", "--freeze"])?, 1, &parts)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)?;
    session.finish(LIMIT)?;
    Ok(())
}

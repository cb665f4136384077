//! Everything that CRIU refuses, in one container.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::exec::Background;
use remap_test::{Flavour, wait};

use super::holder::Container;
use super::session::Session;
use super::{ALL, OF_LOCKS, host};
use crate::context::Context;
use crate::workload::{ID, LIMIT};

/// All is named at once, the container goes on, and is checkpointed when the causes are gone.
pub(super) fn refused(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let sockets = format!("{dir}/sockets");
    let listener = host::listen(context.a(), &sockets)?;
    let container = Container::start(context, &dir, |run| {
        run.bind(&sockets, host::INSIDE)
            .flag(["--device", "/dev/fuse"])
    })?;
    let ctr = context.ctr();
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;
    let session = Session::begin(&ctr)?;

    let names: Vec<&str> = ALL.iter().map(|one| one.name).collect();
    let holders = container.add(&names)?;
    let foreign = foreign_session(context, task.pid)?;
    let locks = container.add(OF_LOCKS)?;
    let said = container.expect_refusal(container.checkpoint())?;
    let is_held = |name: &str| {
        let name = name.split('=').next().unwrap_or(name);
        holders.iter().any(|holder| holder.obstacle == name)
    };
    for one in ALL.iter().filter(|one| is_held(one.name)) {
        let is_dumped = one.name == "tcp-listener" && context.flavour() == Flavour::Forky;
        let is_said = said.contains(one.said);
        ensure!(is_said != is_dumped, "{}: {is_said} in {said}", one.name);
        let is_named = is_dumped || said.contains(one.object);
        ensure!(is_named, "no {:?} of {} in {said}", one.object, one.name);
    }
    ensure!(
        said.contains("begun outside the container: pid "),
        "no session in {said}"
    );
    ensure!(!said.contains("a file lock"), "locks are allowed: {said}");
    let said = container.expect_refusal(container.checkpoint_task())?;
    for name in [
        "flock (FLOCK)",
        "posix (POSIX)",
        "ofd (OFDLCK)",
        "leased (LEASE)",
    ] {
        ensure!(said.contains(name), "no {name} in {said}");
    }

    ensure!(
        ctr.wait_for(ID, &Status::Running, LIMIT)? == task,
        "it is another task"
    );
    container.expect(&holders)?;
    container.expect(&locks)?;

    container.end(&holders)?;
    foreign.kill()?;
    session.end()?;
    let only_init = || Ok(ctr.pids(ID)?.len() == 1 + locks.len());
    ensure!(wait::until(LIMIT, only_init)?, "there are more processes");
    container.checkpoint().context("locks are allowed")?;
    container.end(&locks)?;
    container.checkpoint_task().context("all are gone")?;
    listener.kill()?;
    ctr.remove(ID)
}

/// A process in the pid namespace of the container, below its init, whose session is one of the
/// host's.
fn foreign_session(context: &Context, init: u32) -> Result<Background> {
    let target = format!("--target={init}");
    // An orphan there is a child of init.
    let line = "sleep 602 3>&- & exec true";
    let process = context
        .a()
        .command("nsenter")
        .arg(target)
        .args(["--mount", "--pid", "--net", "--", "sh", "-c", line])
        .spawn()?;
    let line = "for p in $(pidof sleep); do grep PPid: /proc/$p/status; done";
    let there = || {
        let parents = context.ctr().exec(ID, &["sh", "-c", line])?;
        Ok(parents.text().lines().any(|line| line == "PPid:\t1"))
    };
    ensure!(wait::until(LIMIT, there)?, "there is no foreign session");
    Ok(process)
}

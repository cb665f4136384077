//! A mount whose policy is `ghost` or `nameless`: what the container has open there goes into the
//! images, and comes back as files of its own, with its names or without.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Background, Ctr, Runtime, wait};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Probe, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("ghosts::sem_creator_first", |context| {
        there_and_back(context, "sem-creator-first")
    })
    .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("ghosts::sem_user_first", |context| {
        there_and_back(context, "sem-user-first")
    })
    .runtimes(REMAP),
    Scenario::new("ghosts::sem_fd", |context| {
        there_and_back(context, "sem-fd")
    })
    .runtimes(REMAP),
    Scenario::new("ghosts::hard_links", |context| {
        there_and_back(context, "hard-links")
    })
    .runtimes(REMAP),
    Scenario::new("ghosts::kinds", |context| there_and_back(context, "kinds")).runtimes(REMAP),
    Scenario::new("ghosts::unlinked_only", |context| {
        there_and_back(context, "unlinked-only")
    })
    .runtimes(REMAP),
    Scenario::new("ghosts::nameless_creator_first", |context| {
        nameless(context, "sem-creator-first", "creator", "user")
    })
    .runtimes(REMAP),
    Scenario::new("ghosts::nameless_user_first", |context| {
        nameless(context, "sem-user-first", "creator", "user")
    })
    .runtimes(REMAP),
    Scenario::new("ghosts::neighbour", neighbour).runtimes(REMAP),
    Scenario::new("ghosts::taken", taken).runtimes(REMAP),
    Scenario::new("ghosts::not_attributed", not_attributed).runtimes(REMAP),
    Scenario::new("ghosts::stock", stock).runtimes(&[Runtime::Stock]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/ghosts:1";

/// The annotation with the policies.
const MOUNTS: &str = "io.remap.mounts";

const GHOST: &str = "/dev/shm=ghost";

const NAMELESS: &str = "/dev/shm=nameless";

fn start(context: &Context, shm: &Shm, name: &'static str, policy: &str) -> Result<Workload> {
    Workload::start_by(context, shm, name, |run| run.annotation(MOUNTS, policy))
}

/// To a host that has nothing of it, and back to an empty tmpfs.
fn there_and_back(context: &Context, name: &'static str) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let workload = start(context, &a_shm, name, GHOST)?;
    let before = workload.probe(&a)?;

    let names = a_shm.names()?;
    leave(context, &dir, &a, &b)?;
    a_shm.expect_names(&names)?;
    a_shm.clear()?;
    b.restore(ID, IMAGE)?;
    b.remove_image(IMAGE)?;
    workload.expect_same(&b, &before).context("there")?;
    b_shm.expect_no_leftovers()?;
    b_shm.expect_names(&names)?;

    leave(context, &dir, &b, &a)?;
    a.restore(ID, IMAGE)?;
    a.remove_image(IMAGE)?;
    workload.expect_same(&a, &before).context("and back")?;
    a_shm.expect_no_leftovers()?;
    a.remove(ID)
}

/// Who shares a file goes on to share it, and it has no name any more.
fn nameless(
    context: &Context,
    name: &'static str,
    one: &'static str,
    other: &'static str,
) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let workload = start(context, &a_shm, name, NAMELESS)?;
    workload.probe(&a)?;
    // Whoever has the name on the target is not touched.
    context
        .b()
        .write_file(&b_shm.file("sem.scenario"), "theirs")?;
    let names = b_shm.names()?;
    leave(context, &dir, &a, &b)?;
    a_shm.clear()?;
    b.restore(ID, IMAGE)?;
    b.remove_image(IMAGE)?;
    // The probe fails unless each semaphore that is posted is taken.
    let there = workload.probe(&b)?;
    expect_one(&there, one, other)?;
    b_shm.expect_names(&names)?;

    leave(context, &dir, &b, &a)?;
    a.restore(ID, IMAGE)?;
    a.remove_image(IMAGE)?;
    expect_one(&workload.probe(&a)?, one, other)?;
    ensure!(a_shm.names()?.is_empty(), "there are names on host a");
    a.remove(ID)
}

/// Both roles have one inode, which has no name.
fn expect_one(probe: &Probe, one: &str, other: &str) -> Result<()> {
    let (one, other) = (
        &probe.uses()[one]["semaphore"],
        &probe.uses()[other]["semaphore"],
    );
    let nameless = one["names"].as_array().is_some_and(Vec::is_empty);
    ensure!(
        nameless && one["inode"].is_string() && one["inode"] == other["inode"],
        "not one file without names: {}",
        probe.uses()
    );
    Ok(())
}

/// A process outside holds the same semaphore: without a policy this is refused. The container takes
/// a copy along, and what the neighbour has stays as it is.
fn neighbour(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let workload = start(context, &a_shm, "sem-creator-first", GHOST)?;
    let neighbour = hold(context, &a_shm, "sem.scenario")?;
    let before = workload.probe(&a)?;
    let inode = || {
        let path = a_shm.file("sem.scenario");
        let line = format!("stat -c '%d %i %h' {path}");
        Ok::<_, anyhow::Error>(context.a().shell(&line)?.text().into_owned())
    };
    let own = inode()?;
    leave(context, &dir, &a, &b)?;
    ensure!(inode()? == own, "{own} became {}", inode()?);
    b.restore(ID, IMAGE)?;
    b.remove_image(IMAGE)?;
    workload.expect_same(&b, &before)?;
    b_shm.expect_no_leftovers()?;
    a_shm.expect_no_leftovers()?;
    ensure!(
        neighbour.is_running()? && is_held(context, &a_shm, "sem.scenario")?,
        "the neighbour has not what it had"
    );
    neighbour.kill()?;
    b.remove(ID)
}

/// A process of host a that has the file `name` open.
fn hold(context: &Context, shm: &Shm, name: &str) -> Result<Background> {
    let line = format!("exec 9<>{} && exec sleep 600", shm.file(name));
    let process = context.a().command("sh").args(["-c", &line]).spawn()?;
    let there = || is_held(context, shm, name);
    ensure!(wait::until(LIMIT, there)?, "the neighbour does not come");
    Ok(process)
}

/// Whether a process of host a has the file open as the neighbour does.
fn is_held(context: &Context, shm: &Shm, name: &str) -> Result<bool> {
    let path = shm.file(name);
    let line =
        format!("for fd in /proc/[0-9]*/fd/9; do [ $fd -ef {path} ] && exit 0; done; exit 1");
    let found = context.a().command("sh").args(["-c", &line]).run()?;
    Ok(found.status.success())
}

/// A name that the target has already: named before anything is touched, and the same checkpoint
/// restores when it is gone.
fn taken(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = start(context, &shm, "hard-links", GHOST)?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    shm.expect_no_leftovers()?;
    ctr.remove(ID)?;
    shm.clear()?;
    for name in ["link-a", "link-b"] {
        context.a().write_file(&shm.file(name), "theirs")?;
    }
    let contents = shm.contents()?;
    let error = ctr
        .restore(ID, IMAGE)
        .err()
        .context("the names were taken")?
        .to_string();
    for part in [shm.file("link-a"), shm.file("link-b")] {
        ensure!(error.contains(&part), "no {part:?} in {error}");
    }
    ensure!(shm.contents()? == contents, "the tmpfs has changed");
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    shm.expect_no_leftovers()?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// While CRIU is held somebody moves a name away, so that a file of the dump leads nowhere: the
/// checkpoint fails and says so, and the container goes on.
fn not_attributed(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let shm = Shm::mount(context.a(), ID)?;
    let script = format!("{dir}/mover");
    let (name, moved) = (shm.file("sem.fd"), shm.file("moved"));
    let text = format!(
        "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" = post-dump ] && [ -e {name} ] && mv {name} {moved}\nexit 0\n"
    );
    context.a().write_file(&script, text)?;
    context.a().shell(&format!("chmod 755 {script}"))?;
    let _conf = CriuConf::write(context.a(), &format!("action-script {script}\n"))?;
    let workload = start(context, &shm, "sem-fd", GHOST)?;
    let before = workload.probe(&ctr)?;
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;
    let names = shm.names()?;
    let error = ctr
        .clone()
        .without_plan("a name is moved in the middle of the dump")
        .checkpoint(ID, IMAGE)
        .err()
        .context("the checkpoint succeeds")?
        .to_string();
    for part in ["cannot be brought together", "dev/shm/sem.fd"] {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    let now = ctr.wait_for(ID, &Status::Running, LIMIT)?;
    ensure!(now == task, "{task:?} became {now:?}");
    context.a().shell(&format!("mv {moved} {name}"))?;
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;
    ctr.remove(ID)
}

/// The stock shim, with CRIU configured as well as it can be, on a target without the names.
fn stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let _conf = CriuConf::write(context.a(), "link-remap\nghost-limit 128M\n")?;
    start(context, &shm, "sem-creator-first", GHOST)?;
    let neighbour = hold(context, &shm, "sem.scenario")?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    neighbour.kill()?;
    shm.clear()?;
    ensure!(ctr.restore(ID, IMAGE).is_err(), "the restore succeeds");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Takes the container's checkpoint to the other host, and removes it from its own.
fn leave(context: &Context, dir: &str, from: &Ctr, to: &Ctr) -> Result<()> {
    let archive = format!("{dir}/checkpoint.tar");
    from.checkpoint(ID, IMAGE)?;
    from.remove(ID)?;
    from.export_checkpoint(IMAGE, &archive)?;
    from.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(from.host(), &archive, to.host(), &archive)?;
    to.import_checkpoint(&archive)
}

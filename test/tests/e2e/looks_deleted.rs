//! Names that look deleted: those that only do are looked at until they do not, and what CRIU cannot
//! find by its name is refused.

mod stale_fs;

use anyhow::{Context as _, Result, ensure};
use remap_test::{Host, Runtime};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::obstacles::holder::{Container, Holder};
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::stock::{HELPFUL, expect_in_log};
use crate::workload::ID;

use stale_fs::StaleFs;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("looks_deleted::directory", directory)
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("looks_deleted::file", file).runtimes(DROP_IN),
    Scenario::new("looks_deleted::silent", silent).runtimes(DROP_IN),
    Scenario::new("looks_deleted::gone", gone).runtimes(DROP_IN),
    Scenario::new("looks_deleted::stock", stock).runtimes(&[Runtime::Stock]),
];

const DROP_IN: &[Runtime] = &[Runtime::DropIn];

const IMAGE: &str = "remap.test/looks-deleted:1";

/// Where the container has the file system of [`StaleFs`].
const FUSE: &str = "/fuse";

/// The container, with that file system.
fn start<'c>(context: &Context<'c>, dir: &str, fs: &StaleFs) -> Result<Container<'c>> {
    Container::start(context, dir, |run| run.bind(fs.path(), FUSE))
}

/// Has `name` of the file system held, and forgotten by the kernel.
fn hold(context: &Context, container: &Container, fs: &StaleFs, name: &str) -> Result<Vec<Holder>> {
    let path = format!("{FUSE}/{name}");
    let holders = container.add(&[&format!("by-path={path}")])?;
    fs.forget()?;
    let names = names_held(context, &holders)?;
    let shown = format!("{path} (deleted)");
    ensure!(
        names.lines().any(|line| line == shown),
        "no {shown} in {names}"
    );
    Ok(holders)
}

/// What the kernel shows for the descriptors of the holders.
fn names_held(context: &Context, holders: &[Holder]) -> Result<String> {
    let pids = holders.iter().map(|holder| &*holder.pid);
    let pids = pids.collect::<Vec<_>>().join(" ");
    let line = format!("for p in {pids}; do for f in /proc/$p/fd/*; do readlink $f; done; done");
    let said = context.ctr().exec(ID, &["sh", "-c", &line])?.ok()?;
    Ok(said.text().into_owned())
}

/// The look itself makes the kernel's entry for a directory valid.
fn directory(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let fs = StaleFs::mount(context.a(), &dir)?;
    let container = start(context, &dir, &fs)?;
    let holders = hold(context, &container, &fs, "dir")?;
    crate::obstacles::holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    container.expect(&holders)?;
    let names = names_held(context, &holders)?;
    let path = format!("{FUSE}/dir");
    ensure!(
        names.lines().any(|line| line == path),
        "no {path} in {names}"
    );
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// The entry of a file stays as it is.
fn file(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let fs = StaleFs::mount(context.a(), &dir)?;
    let container = start(context, &dir, &fs)?;
    let holders = hold(context, &container, &fs, "file")?;
    let said = container.expect_refusal(container.checkpoint())?;
    for part in [
        "on /fuse/file (deleted): ",
        "looks deleted and is not",
        "on /fuse (fuse",
    ] {
        ensure!(said.contains(part), "no {part:?} in {said}");
    }
    container.expect(&holders)?;
    container.end(&holders)?;
    container.checkpoint().context("it is closed")?;
    context.ctr().remove(ID)
}

/// A file system that does not answer keeps nobody waiting.
fn silent(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let fs = StaleFs::mount(context.a(), &dir)?;
    let container = start(context, &dir, &fs)?;
    let holders = hold(context, &container, &fs, "dir")?;
    let silence = fs.silence()?;
    let said = container.expect_refusal(container.checkpoint())?;
    for part in [
        "on /fuse/dir (deleted): ",
        "does not answer, on /fuse (fuse",
    ] {
        ensure!(said.contains(part), "no {part:?} in {said}");
    }
    drop(silence);
    container.checkpoint().context("it answers again")?;
    container.expect(&holders)?;
    context.ctr().remove(ID)
}

/// What is gone, in the ways in which CRIU cannot tell, or can do nothing.
const GONE: &[(&str, &str)] = &[
    ("name-taken", "there is another file, on /dev/shm (tmpfs)"),
    ("name-too-long", "the name is too long"),
    (
        "name-through-file",
        "/through/directory/name (deleted): its name is gone, and CRIU cannot look",
    ),
    ("by-path=/cgroup/gone", "on /cgroup/gone (deleted): what it"),
    (
        "another-by-path=/cgroup/gone/cgroup.procs",
        "on /cgroup/gone/cgroup.procs: what it",
    ),
];

/// A directory for groups, in the host's hierarchy of pids.
fn cgroup_dir(host: &Host) -> Result<&'static str> {
    host.shell("cd /sys/fs/cgroup; [ -e cgroup.controllers ] && echo . || echo pids")
        .map(|said| match &*said.text() {
            "." => "/sys/fs/cgroup",
            _ => "/sys/fs/cgroup/pids",
        })
}

fn start_for_gone<'c>(context: &Context<'c>, shm: &Shm) -> Result<Container<'c>> {
    let cgroup = cgroup_dir(context.a())?;
    let dir = context.dir()?;
    context.a().shell(&format!("mkdir -p {cgroup}/gone"))?;
    Container::start(context, &dir, |run| {
        run.bind(shm.path(), "/dev/shm").bind(cgroup, "/cgroup")
    })
}

/// The group is removed and made again: what is held is of the first.
fn remove_group(host: &Host) -> Result<()> {
    let cgroup = cgroup_dir(host)?;
    host.shell(&format!("rmdir {cgroup}/gone && mkdir {cgroup}/gone"))?;
    Ok(())
}

fn gone(context: &Context) -> Result<()> {
    let shm = Shm::mount(context.a(), ID)?;
    let container = start_for_gone(context, &shm)?;
    let names: Vec<&str> = GONE.iter().map(|(name, _)| *name).collect();
    let holders = container.add(&names)?;
    ensure!(
        holders.len() == names.len(),
        "some are missing: {holders:?}"
    );
    remove_group(context.a())?;
    let said = container.expect_refusal(container.checkpoint())?;
    for (name, part) in GONE {
        ensure!(said.contains(part), "{name}: no {part:?} in {said}");
    }
    container.expect(&holders)?;
    container.end(&holders)?;
    container.checkpoint().context("all are gone")?;
    context.ctr().remove(ID)?;
    let cgroup = cgroup_dir(context.a())?;
    context.a().shell(&format!("rmdir {cgroup}/gone"))?;
    Ok(())
}

/// The stock shim's checkpoint fails by each, in its middle.
fn stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let fs = StaleFs::mount(context.a(), &dir)?;
    let _conf = CriuConf::write(context.a(), HELPFUL)?;
    for name in ["dir", "file"] {
        let container = start(context, &dir, &fs)?;
        hold(context, &container, &fs, name)?;
        ensure!(container.checkpoint().is_err(), "{name} is dumped");
        let text = format!("Can't link remap to {FUSE}/{name}: Operation not permitted");
        expect_in_log(&ctr, "criu-dump.log", &[&text])?;
        ctr.remove(ID)?;
    }
    drop(fs);
    let shm = Shm::mount(context.a(), ID)?;
    let mut dumped = Vec::new();
    for (name, _) in GONE {
        let container = start_for_gone(context, &shm)?;
        container.add(&[name])?;
        remove_group(context.a())?;
        if container.checkpoint().is_ok() {
            dumped.push(name);
        }
        ctr.remove(ID)?;
        shm.clear()?;
    }
    ensure!(dumped.is_empty(), "these were dumped: {dumped:?}");
    let cgroup = cgroup_dir(context.a())?;
    context.a().shell(&format!("rmdir {cgroup}/gone"))?;
    Ok(())
}

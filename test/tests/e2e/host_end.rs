//! The end of hosts, on which nothing may stay of them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::image::{self, BUSYBOX_IMAGE};
use remap_test::{Ctr, Host, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`]. They have nothing to do with the shim.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("host_end::stop", stop).runtimes(&[Runtime::Stock]),
    Scenario::new("host_end::killed_process", killed_process).runtimes(&[Runtime::Stock]),
    Scenario::new("host_end::killed_keeper", killed_keeper).runtimes(&[Runtime::Stock]),
];

const LIMIT: Duration = Duration::from_secs(30);

/// A host ends, with all that it is, even while a container of it is frozen.
fn stop(context: &Context) -> Result<()> {
    let host = Host::start(context.tree(), "c")?;
    context.runtime().prepare(&host)?;
    image::busybox(context.tree().root(), &host.path("/srv/busybox.tar"))?;
    let ctr = Ctr::new(&host);
    ctr.import_image("/srv/busybox.tar")?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, "frozen")
        .shell("sleep 600")
        .start()?;
    ctr.pause("frozen")?;

    let init = Path::new("/proc").join(host.init_pid().to_string());
    let dir = host.dir().to_owned();
    host.stop()?;
    // Killed for certain, but this machine's init may still have to reap it.
    ensure!(
        wait::until(LIMIT, || Ok(!init.exists()))?,
        "its init is still there"
    );
    ensure!(!dir.exists(), "{} is still there", dir.display());
    expect_no_cgroups(dir.file_name().unwrap_or_default())
}

/// A test process that is killed takes its hosts with it.
fn killed_process(context: &Context) -> Result<()> {
    // The same program once more, with a cache of its own that has our trees.
    let trees = context
        .tree()
        .root()
        .parent()
        .context("the tree is the root directory")?;
    let cache = tempfile::tempdir_in(trees)?;
    symlink(trees, cache.path().join("trees"))?;
    let scenario = format!("{}::hosts::time_out::stock", context.flavour());
    let mut process = Command::new(env::current_exe()?)
        .args(["--exact", &scenario])
        .env("REMAP_TEST_CACHE", cache.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;

    let hosts = cache.path().join("hosts");
    let begun = wait::until(LIMIT, || Ok(directories(&hosts).len() == 2));
    let dirs = directories(&hosts);
    process.kill()?;
    process.wait()?;
    ensure!(begun?, "the process does not start its hosts");
    ensure!(
        wait::until(LIMIT, || Ok(directories(&hosts).is_empty()))?,
        "still there: {:?}",
        directories(&hosts)
    );
    dirs.iter().try_for_each(|dir| expect_no_cgroups(dir))
}

/// What a host leaves whose keeper was killed as well, the next host removes.
fn killed_keeper(context: &Context) -> Result<()> {
    let host = Host::start(context.tree(), "c")?;
    let dir = host.dir().to_owned();
    // The init is a child of unshare(1), and that one of the keeper.
    let keeper = parent(parent(host.init_pid())?)?;
    Command::new("kill")
        .args(["-KILL", &keeper.to_string()])
        .status()?;
    // It locks the directory until it is gone, for which its parent, this process,
    // does not have to have noticed.
    let gone = || Ok(status_of(keeper, "State:")?.starts_with('Z'));
    ensure!(
        wait::until(LIMIT, gone)?,
        "the keeper {keeper} does not die"
    );

    let next = Host::start(context.tree(), "d")?;
    ensure!(!dir.exists(), "{} is still there", dir.display());
    expect_no_cgroups(dir.file_name().unwrap_or_default())?;
    next.stop()?;
    host.stop()
}

fn parent(pid: u32) -> Result<u32> {
    Ok(status_of(pid, "PPid:")?.parse()?)
}

/// A field of `/proc/PID/status`; see proc_pid_status(5).
fn status_of(pid: u32, field: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    Ok(value
        .with_context(|| format!("no {field} of process {pid}"))?
        .trim()
        .to_owned())
}

/// The names of the directories in `dir`, which need not exist.
fn directories(dir: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name())
        .collect()
}

fn expect_no_cgroups(host: &OsStr) -> Result<()> {
    let name = format!("remap-test-{}", host.to_string_lossy());
    let output = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &name])
        .output()?;
    ensure!(
        output.stdout.is_empty(),
        "still there: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

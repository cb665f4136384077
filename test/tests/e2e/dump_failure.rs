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

/// Watches a file of the root file system, and stays. An overlay has no file handles by which CRIU
/// could find it again, which it learns only when it tries. Says its pid in /watching.
const WATCH: &str = "\
import ctypes, os, signal
libc = ctypes.CDLL(None)
open('/watched', 'w').close()
if libc.inotify_add_watch(libc.inotify_init(), b'/watched', 2) > 0:
    with open('/watching.new', 'w') as file:
        file.write(str(os.getpid()))
    os.rename('/watching.new', '/watching')
    signal.pause()
";

/// The container goes on, and can be dumped when the cause is gone.
fn goes_on(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let cause = add_watch(&ctr)?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;

    let error = ctr
        .clone()
        .without_plan("it is to be CRIU that fails, in the middle of the dump")
        .checkpoint(ID, IMAGE)
        .err()
        .context("CRIU can dump the watch")?
        .to_string();
    for part in ["phase dump", "a watched file"] {
        ensure!(error.contains(part), "no {part:?} in {error:?}");
    }
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

/// Adds a process with a watch to the container's own: an orphan becomes a
/// child of the first. Returns its pid there.
fn add_watch(ctr: &Ctr) -> Result<String> {
    let line = r#"setsid python3 -c "$0" </dev/null >/dev/null 2>&1 &"#;
    ctr.exec(ID, &["sh", "-c", line, WATCH])?.ok()?;
    let mut said = String::new();
    wait::until(LIMIT, || {
        said = ctr.exec(ID, &["cat", "/watching"])?.text().into_owned();
        Ok(!said.is_empty())
    })?;
    ensure!(
        !said.is_empty(),
        "the process with the watch does not start"
    );
    Ok(said)
}

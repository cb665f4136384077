//! CRIU fails in the middle of a dump, when it has made links already.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Ctr, Flavour, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    // Of the CRIU of the other flavour it is not known how it takes this.
    Scenario::new("dump_failure::goes_on", goes_on)
        .runtimes(&[Runtime::Remap, Runtime::DropIn])
        .flavours(&[Flavour::Forky]),
];

const IMAGE: &str = "remap.test/failed:1";

/// Polls a pipe of which it holds no end any more, but a child of it does, and stays. CRIU looks for
/// the ends among the descriptors of the process, and learns only there that they are gone
/// (`dump_one_eventpoll`). Says its pid in /polling.
const POLL: &str = "\
import ctypes, os, select, signal
ends = os.pipe()
poll = select.epoll()
poll.register(ends[0])
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    poll.close()
else:
    for end in ends:
        os.close(end)
    with open('/polling.new', 'w') as file:
        file.write(str(os.getpid()))
    os.rename('/polling.new', '/polling')
signal.pause()
";

/// The container goes on, and can be dumped when the cause is gone.
fn goes_on(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let cause = add_poll(&ctr)?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;

    let error = ctr
        .clone()
        .without_plan("it is to be CRIU that fails, in the middle of the dump")
        .checkpoint(ID, IMAGE)
        .err()
        .context("CRIU can dump the poll")?
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

/// Adds a process with such a poll to the container's own: an orphan becomes a
/// child of the first. Returns its pid there.
fn add_poll(ctr: &Ctr) -> Result<String> {
    let line = r#"setsid python3 -c "$0" </dev/null >/dev/null 2>&1 &"#;
    ctr.exec(ID, &["sh", "-c", line, POLL])?.ok()?;
    let mut said = String::new();
    wait::until(LIMIT, || {
        said = ctr.exec(ID, &["cat", "/polling"])?.text().into_owned();
        Ok(!said.is_empty())
    })?;
    ensure!(!said.is_empty(), "the process with the poll does not start");
    Ok(said)
}

//! CRIU fails in the middle of a dump, when it has made links already.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Ctr, Host, Runtime, wait};

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
    let workload = Workload::start(context, &shm, "sem-creator-first")?;
    let _little = LittleRoom::leave(context.a())?;
    let cause = hold_memory(&ctr)?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    let task = ctr.wait_for(ID, &Status::Running, LIMIT)?;

    let error = ctr
        .clone()
        .without_plan("it is to be CRIU that fails, in the middle of the dump")
        .checkpoint(ID, IMAGE)
        .err()
        .context("CRIU has room for all of it")?
        .to_string();
    for part in ["phase dump", "No space left"] {
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

/// Adds a process to the container's own, with more memory than there is room for: an orphan becomes a
/// child of the first, the last one, so that CRIU comes to it when it has dumped the others. Returns
/// its pid there.
fn hold_memory(ctr: &Ctr) -> Result<String> {
    let program = format!(
        "import time; memory = b'x' * ({MEMORY_MIB} << 20); open('/held', 'w'); time.sleep(1000)"
    );
    let line = format!("setsid python3 -c \"{program}\" </dev/null >/dev/null 2>&1 & echo $!");
    let said = ctr.exec(ID, &["sh", "-c", &line])?.ok()?;
    let holds = || Ok(ctr.exec(ID, &["test", "-e", "/held"])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, holds)?, "the process has no memory");
    Ok(said.text().trim().to_owned())
}

/// The room for images, and the memory of the process that has more.
const ROOM_MIB: u32 = 64;
const MEMORY_MIB: u32 = 96;

/// A host with little room where containerd has CRIU write images, until this is dropped.
struct LittleRoom<'h>(&'h Host);

impl<'h> LittleRoom<'h> {
    fn leave(host: &'h Host) -> Result<Self> {
        let little = Self(host);
        host.shell(&format!(
            "used=$(df -m --output=used /tmp | tail -n 1) && \
             mount -o remount,size=$((used + {ROOM_MIB}))m /tmp"
        ))?;
        Ok(little)
    }
}

impl Drop for LittleRoom<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.shell("mount -o remount,size=50% /tmp") {
            eprintln!("{error:#}");
        }
    }
}

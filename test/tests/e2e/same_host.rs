//! A restore on the host of the checkpoint, over the files that are still there.

use anyhow::{Result, ensure};
use remap_test::Runtime;

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("same_host::old_files", old_files).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("same_host::failed_restore", failed_restore).runtimes(&[Runtime::Remap]),
];

const IMAGE: &str = "remap.test/same-host:1";

/// Changed, removed and added meanwhile: all is as it was when checkpointed.
fn old_files(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "hard-links")?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    disturb(context, &shm)?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Without the container's read-write layer CRIU misses a file, which it notices
/// when the tmpfs has been filled already. That is taken back.
fn failed_restore(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "counter")?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    context.a().shell(&format!(
        "cd {} && ln counter link-a && mkdir folder && mkfifo folder/fifo",
        shm.path()
    ))?;
    disturb(context, &shm)?;

    let contents = shm.contents()?;
    let restore = ctr
        .command(["container", "restore", "--live", ID, IMAGE])
        .run()?;
    let said = restore.error_text();
    ensure!(restore.exit_code() != 0, "the restore succeeds");
    for part in ["phase restore", "counter.log"] {
        ensure!(said.contains(part), "no {part:?} in {said:?}");
    }
    let now = shm.contents()?;
    ensure!(
        now == contents,
        "there was\n{contents}\nand there is\n{now}"
    );
    ctr.remove(ID)?;

    ctr.restore(ID, IMAGE)?;
    let now = workload.expect_same(&ctr, &before)?;
    ensure!(
        now.check("writer", "jumps") == 0,
        "the files are not of the same instant as the process"
    );
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Changes what is there: contents, names and directories.
fn disturb(context: &Context, shm: &Shm) -> Result<()> {
    context.a().shell(&format!(
        "cd {} && echo changed >>link-a && ln link-a extra-link && \
         echo new >extra && chmod 640 extra && mkdir extra-folder && \
         mv folder extra-folder && ln -s nowhere extra-symlink",
        shm.path()
    ))?;
    Ok(())
}

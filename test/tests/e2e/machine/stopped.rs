//! A task that a signal has stopped. With cgroup v1 such a container is refused, as CRIU waits for the
//! task for ever; here it must come back as it was.

use anyhow::{Context as _, Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, wait};

use crate::context::Context;
use crate::workload::LIMIT;

const ID: &str = "stopped";

const IMAGE: &str = "remap.test/stopped:1";

const LINE: &str = "sh -c 'kill -STOP $$; touch /went-on; exec sleep 100000' & echo $! >/pid; \
                    while :; do sleep 1; done";

/// It is stopped before and after, and goes on when it is told to.
pub(super) fn moves(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .shell(LINE)
        .start()?;
    expect_stopped(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    expect_stopped(&ctr).context("after the checkpoint")?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    expect_stopped(&ctr).context("after the restore")?;
    let line = "test ! -e /went-on && kill -CONT $(cat /pid)";
    ctr.exec(ID, &["sh", "-c", line])?.ok()?;
    let on = || Ok(ctr.exec(ID, &["test", "-e", "/went-on"])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, on)?, "it does not go on");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// It is, within a moment (proc_pid_status(5)).
fn expect_stopped(ctr: &Ctr) -> Result<()> {
    let line = "grep '^State:.T' /proc/$(cat /pid)/status";
    let is = || Ok(ctr.exec(ID, &["sh", "-c", line])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, is)?, "the task is not stopped");
    Ok(())
}

//! Two containers that work together on one tmpfs: `pod.py` in `test/workloads`.

use anyhow::{Context as _, Result, ensure};
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, wait};

use crate::context::Context;
use crate::shm::Shm;
use crate::workload::LIMIT;

/// The ids of the containers, in the order in which they are started.
pub(crate) const MEMBERS: [&str; 2] = ["creator", "user"];

/// Starts both on host a, each declared to move with the other, and waits until they work.
pub(crate) fn start(context: &Context, shm: &Shm) -> Result<()> {
    let ctr = context.ctr();
    for (id, other) in MEMBERS.iter().zip(MEMBERS.iter().rev()) {
        let script = format!("{WORKLOAD_DIR}/pod.py");
        ctr.run(context.runtime(), context.python()?, id)
            .bind(shm.path(), "/dev/shm")
            .annotation("io.remap.moves-with", other)
            .args(["python3", &script, id])
            .start()?;
    }
    expect_rounds(&ctr).context("in the beginning")
}

/// Both go on, with each other, and were never of different minds.
pub(crate) fn expect_rounds(ctr: &Ctr) -> Result<()> {
    for id in MEMBERS {
        let first = rounds(ctr, id).unwrap_or(0);
        let more = || Ok(rounds(ctr, id).is_ok_and(|now| now > first + 2));
        ensure!(
            wait::until(LIMIT, more)?,
            "{id} stands still in round {first}, on host {}",
            ctr.host().name()
        );
        let error = ctr.exec(id, &["cat", "/workload-state/error"])?;
        ensure!(!error.status.success(), "{id} saw {}", error.text());
    }
    Ok(())
}

fn rounds(ctr: &Ctr, id: &str) -> Result<u64> {
    let output = ctr.exec(id, &["cat", "/workload-state/rounds"])?.ok()?;
    Ok(output.text().trim().parse()?)
}

/// Pauses both.
pub(crate) fn pause(ctr: &Ctr) -> Result<()> {
    MEMBERS.iter().try_for_each(|id| ctr.pause(id))
}

/// Lets both run on.
pub(crate) fn resume(ctr: &Ctr) -> Result<()> {
    MEMBERS.iter().try_for_each(|id| ctr.resume(id))
}

/// Removes both.
pub(crate) fn remove(ctr: &Ctr) -> Result<()> {
    MEMBERS.iter().try_for_each(|id| ctr.remove(id))
}

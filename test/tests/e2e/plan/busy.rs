//! A container that never rests.

use anyhow::{Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::wait;

use super::ask;
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::LIMIT;

const ID: &str = "busy";

/// Processes begin and end, files get and lose names, and none is kept.
const LINE: &str = "cd /dev/shm; touch /ready; \
                    churn() { while :; do (exec 4>$1; ln $1 $1.b; rm -f $1 $1.b; sleep 0.001) & wait; done; }; \
                    churn x & churn y & churn z & exec sleep 600";

/// What comes and goes is neither in the way nor an exec session, and no look fails.
pub(super) fn busy(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind(shm.path(), "/dev/shm")
        .shell(LINE)
        .start()?;
    let churns = || Ok(ctr.pids(ID)?.len() > 4);
    ensure!(wait::until(LIMIT, churns)?, "nothing happens");
    for _ in 0..10 {
        let document = ask::json(&ctr, ID, &["--exit"], 0)?;
        ensure!(document["container"]["frozen"] == false, "{document}");
    }
    let document = ask::json(&ctr, ID, &["--exit", "--freeze"], 0)?;
    ensure!(document["container"]["frozen"] == true, "{document}");
    ctr.remove(ID)
}

//! What looks like something that CRIU refuses.

use anyhow::Result;
use remap_test::Flavour;
use remap_test::image::WORKLOAD_DIR;

use super::holder;
use crate::context::Context;
use crate::self_check::expect_progress;
use crate::workload::{ID, wait_until_ready};

const IMAGE: &str = "remap.test/near:1";

/// Of what the workload says.
const NAME: &str = "near-misses";

/// All of it is dumped and comes back.
pub(super) fn near_misses(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let script = format!("{WORKLOAD_DIR}/near_misses.py");
    // CRIU 4.1 cannot dump any network socket on new kernels.
    let network = match context.flavour() {
        Flavour::Trixie => None,
        Flavour::Forky | Flavour::Forky23 => Some("tcp"),
    };
    let args = ["python3", &script].into_iter().chain(network);
    holder::run(context)?.args(args).start()?;
    wait_until_ready(&ctr)?;
    let before = expect_progress(&ctr, NAME, 0)?;
    holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
    let before = expect_progress(&ctr, NAME, before)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    let before = expect_progress(&ctr, NAME, before)?;
    ctr.exec(ID, &["touch", "/workload-state/connect"])?.ok()?;
    expect_progress(&ctr, NAME, before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

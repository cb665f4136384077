//! Memory that looks like files, and files that look like memory: told apart by device and inode, not
//! by their names.

use anyhow::{Result, ensure};
use remap_test::Runtime;
use remap_test::image::WORKLOAD_DIR;

use crate::context::Context;
use crate::obstacles::holder::{self, Container};
use crate::scenario::Scenario;
use crate::self_check::expect_progress;
use crate::shm::Shm;
use crate::workload::{ID, wait_until_ready};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("memory_files::comes_back", comes_back)
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("memory_files::program", program).runtimes(&[Runtime::DropIn]),
];

const IMAGE: &str = "remap.test/memory:1";

/// Twice, the second time from a restored container.
fn comes_back(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    holder::run(context)?
        .bind(shm.path(), "/dev/shm")
        .args(["python3", &format!("{WORKLOAD_DIR}/memory_files.py")])
        .start()?;
    wait_until_ready(&ctr)?;
    let mut count = expect_progress(&ctr, "memory-files", 0)?;
    for _ in 0..2 {
        holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
        count = expect_progress(&ctr, "memory-files", count)?;
        ctr.remove(ID)?;
        shm.clear()?;
        ctr.restore(ID, IMAGE)?;
        count = expect_progress(&ctr, "memory-files", count)?;
        ctr.remove_image(IMAGE)?;
    }
    ctr.remove(ID)
}

/// CRIU loses an executable that is memory, and finds out when it restores.
fn program(context: &Context) -> Result<()> {
    let container = Container::start(context, &context.dir()?, |run| run)?;
    let holders = container.add(&["memory-program"])?;
    let said = container.expect_refusal(container.checkpoint())?;
    let parts = said.matches("is an executable, and lives in memory only");
    ensure!(parts.count() == 2, "not both programs in {said}");
    container.expect(&holders)?;
    container.end(&holders)?;
    container.checkpoint()?;
    context.ctr().remove(ID)
}

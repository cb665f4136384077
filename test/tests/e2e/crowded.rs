//! A deleted file that many tasks map, and whose name another file has now: CRIU's restore gets in
//! its own way there.

use anyhow::{Result, bail};
use remap_test::Runtime;
use remap_test::image::WORKLOAD_DIR;

use crate::context::Context;
use crate::scenario::Scenario;
use crate::self_check::expect_progress;
use crate::shm::Shm;
use crate::stock::expect_in_log;
use crate::workload::{ID, wait_until_ready};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("crowded::carried", |context| {
        let shm = Shm::mount(context.a(), ID)?;
        comes_back(context, Some(&shm))
    })
    .runtimes(REMAP),
    Scenario::new("crowded::own_tmpfs", |context| comes_back(context, None)).runtimes(REMAP),
    Scenario::new("crowded::stock", stock)
        .runtimes(&[Runtime::Stock])
        .full(),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/crowd:1";

/// A task has found the name that another task had given, in its own memory, which has none.
const RACE: &str = ".ghost -> : No such file or directory";

/// So often the stock shim may be lucky.
const ATTEMPTS: usize = 60;

fn start(context: &Context, shm: Option<&Shm>) -> Result<u64> {
    let ctr = context.ctr();
    let mut run = ctr.run(context.runtime(), context.python()?, ID);
    if let Some(shm) = shm {
        run = run.bind(shm.path(), "/dev/shm");
    }
    run.args(["python3", &format!("{WORKLOAD_DIR}/crowd.py")])
        .start()?;
    wait_until_ready(&ctr)?;
    expect_progress(&ctr, "crowd", 0)
}

/// Several times, as chance has a part in it.
fn comes_back(context: &Context, shm: Option<&Shm>) -> Result<()> {
    let ctr = context.ctr();
    let mut count = start(context, shm)?;
    for _ in 0..3 {
        ctr.checkpoint(ID, IMAGE)?;
        ctr.remove(ID)?;
        if let Some(shm) = shm {
            shm.clear()?;
        }
        ctr.restore(ID, IMAGE)?;
        count = expect_progress(&ctr, "crowd", count)?;
        ctr.remove_image(IMAGE)?;
    }
    ctr.remove(ID)
}

/// On the tmpfs that CRIU dumps itself.
fn stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let count = start(context, None)?;
    ctr.checkpoint(ID, IMAGE)?;
    expect_progress(&ctr, "crowd", count)?;
    ctr.remove(ID)?;
    for _ in 0..ATTEMPTS {
        let restored = ctr.restore(ID, IMAGE);
        if restored.is_err() {
            expect_in_log(&ctr, "work/restore.log", &[RACE])?;
        }
        ctr.remove(ID)?;
        if restored.is_err() {
            return ctr.remove_image(IMAGE);
        }
    }
    bail!("the stock shim restored it {ATTEMPTS} times")
}

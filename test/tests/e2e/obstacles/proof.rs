//! What is refused in the plan is nothing that could have been dumped.

use anyhow::{Context as _, Result, ensure};
use remap_test::{Flavour, wait};

use super::holder::Container;
use super::session::Session;
use super::{ALL, OF_LOCKS, host};
use crate::context::Context;
use crate::workload::{ID, LIMIT};

/// CRIU loses this one without a word.
const NOT_SAID: &str = "file-table";

/// CRIU waits for this one for ever.
const NO_END: &str = "stopped";

/// These fail at the restore only, or do harm there: see [`crate::special`].
const AT_RESTORE: [&str; 2] = ["remade-directory", "nested-directories"];

/// Each of the obstacles alone makes the stock shim's checkpoint fail.
pub(super) fn criu_refuses_each(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let sockets = format!("{dir}/sockets");
    let listener = host::listen(context.a(), &sockets)?;
    let container = Container::start(context, &dir, |run| {
        run.bind(&sockets, host::INSIDE)
            .flag(["--device", "/dev/fuse"])
    })?;
    let ctr = context.ctr();
    let session = Session::begin(&ctr)?;
    container
        .checkpoint_task()
        .context("nothing is in the way")?;
    let mut dumped = Vec::new();
    let names = ALL
        .iter()
        .map(|one| one.name)
        .chain(OF_LOCKS.iter().copied());
    let said_at_dump =
        |name: &&str| ![NOT_SAID, NO_END].contains(name) && !AT_RESTORE.contains(name);
    for name in names.filter(said_at_dump) {
        let holders = container.add(&[name])?;
        if container.checkpoint_task().is_ok() && !holders.is_empty() {
            dumped.push(name);
        }
        container.end(&holders)?;
    }
    container.checkpoint_task().context("all are gone")?;
    // Those that this CRIU can dump on this kernel.
    let expected: &[&str] = match context.flavour() {
        Flavour::Trixie => &[],
        Flavour::Forky | Flavour::Forky23 => &["tcp-listener"],
    };
    ensure!(dumped == expected, "these were dumped: {dumped:?}");
    session.end()?;
    expect_loss(context, &container)?;
    listener.kill()?;
    ctr.remove(ID)
}

/// The descriptor of a thread with a table of its own is there before, and lost after a restore.
fn expect_loss(context: &Context, container: &Container) -> Result<()> {
    const IMAGE: &str = "remap.test/lost:1";
    let ctr = context.ctr();
    let expect = |wanted: &str| {
        let said = || {
            Ok(ctr
                .exec(ID, &["cat", "/workload-state/thread-file"])?
                .text()
                == wanted)
        };
        ensure!(wait::until(LIMIT, said)?, "the descriptor is not {wanted}");
        anyhow::Ok(())
    };
    container.add(&[NOT_SAID])?;
    expect("there")?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    expect("lost")?;
    ctr.remove_image(IMAGE)
}

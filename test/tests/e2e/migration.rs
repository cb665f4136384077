//! There and back: a container with files in a host's tmpfs moves to another host,
//! whose tmpfs is empty, and returns.

use anyhow::{Context as _, Result, ensure};
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, Flavour, Runtime};
use serde_json::Value;

use crate::context::Context;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{self, ID, Workload};

/// See [`crate::SCENARIOS`]. What the stock shim makes of the same workloads:
/// [`crate::stock`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("migration::sem_creator_first", |context| {
        there_and_back(context, "sem-creator-first")
    })
    .runtimes(&[Runtime::Remap, Runtime::DropIn])
    .flavours(&Flavour::ALL),
    Scenario::new("migration::sem_user_first", |context| {
        there_and_back(context, "sem-user-first")
    })
    .runtimes(REMAP),
    Scenario::new("migration::sem_fd", |context| {
        there_and_back(context, "sem-fd")
    })
    .runtimes(REMAP),
    Scenario::new("migration::named_only", |context| {
        there_and_back(context, "named-only")
    })
    .runtimes(REMAP),
    Scenario::new("migration::unlinked_only", |context| {
        there_and_back(context, "unlinked-only")
    })
    .runtimes(REMAP),
    Scenario::new("migration::hard_links", |context| {
        there_and_back(context, "hard-links")
    })
    .runtimes(REMAP),
    Scenario::new("migration::big", |context| there_and_back(context, "big")).runtimes(REMAP),
    Scenario::new("migration::odd_names", |context| {
        there_and_back(context, "odd-names")
    })
    .runtimes(REMAP),
    Scenario::new("migration::demo", demo).runtimes(&[Runtime::Remap, Runtime::DropIn]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

fn there_and_back(context: &Context, name: &'static str) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let a_shm = Shm::mount(context.a(), ID)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    let workload = Workload::start(context, &a_shm, name)?;
    let before = workload.probe(&a)?;

    move_container(context, &dir, (&a, &a_shm), (&b, &b_shm))?;
    workload.expect_same(&b, &before).context("there")?;
    b_shm.expect_no_leftovers()?;

    move_container(context, &dir, (&b, &b_shm), (&a, &a_shm))?;
    workload.expect_same(&a, &before).context("and back")?;
    a_shm.expect_no_leftovers()?;
    a.remove(ID)
}

/// Two processes count together, and a third from outside joins them by name.
fn demo(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let a_shm = Shm::mount(context.a(), ID)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    workload::python(context, &a_shm)?
        .args(["python3", &format!("{WORKLOAD_DIR}/demo.py")])
        .start()?;
    workload::wait_until_ready(&a)?;
    let mut last = join(&a, 0)?;

    for ((from, from_shm), (to, to_shm)) in
        [((&a, &a_shm), (&b, &b_shm)), ((&b, &b_shm), (&a, &a_shm))]
    {
        move_container(context, &dir, (from, from_shm), (to, to_shm))?;
        last = join(to, last)?;
        to_shm.expect_no_leftovers()?;
    }
    a.remove(ID)
}

/// Takes part in the count, which has to be beyond `last`; returns where it is then.
fn join(ctr: &Ctr, last: u64) -> Result<u64> {
    let peer = format!("{WORKLOAD_DIR}/demo_peer.py");
    let output = ctr.exec(ID, &["python3", &peer])?.ok()?;
    let seen: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| {
        let value = seen[name].as_u64();
        value.with_context(|| format!("no {name} in {seen}"))
    };
    ensure!(
        number("counter_before")? >= last,
        "it was at {last}: {seen}"
    );
    number("counter_after")
}

/// Moves the container [`ID`] from one host to the other, on which its image is
/// and an empty tmpfs. The first host's tmpfs is empty afterwards.
pub(crate) fn move_container(
    context: &Context,
    dir: &str,
    (from, from_shm): (&Ctr, &Shm),
    (to, to_shm): (&Ctr, &Shm),
) -> Result<()> {
    const IMAGE: &str = "remap.test/moving:1";
    let archive = format!("{dir}/checkpoint.tar");
    let names = from_shm.names()?;
    from.checkpoint(ID, IMAGE)?;
    from_shm.expect_names(&names).context("after the dump")?;
    from.remove(ID)?;
    from_shm.clear()?;

    from.export_checkpoint(IMAGE, &archive)?;
    from.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(from.host(), &archive, to.host(), &archive)?;
    to.import_checkpoint(&archive)?;
    ensure!(to_shm.names()?.is_empty(), "the target is not empty");
    to.restore(ID, IMAGE)?;
    to.remove_image(IMAGE)
}

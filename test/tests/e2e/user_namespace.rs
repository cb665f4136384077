//! A container in a user namespace of its own.

use anyhow::{Result, ensure};
use remap_test::Runtime;

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::stock::{HELPFUL, expect_in_log};
use crate::workload::{ID, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    // Under another name containerd 1.7's `ctr` sends options of the first runtime's type.
    Scenario::new("user_namespace::moves", moves).runtimes(&[Runtime::DropIn]),
    Scenario::new("user_namespace::stock", stock).runtimes(&[Runtime::Stock]),
];

const IMAGE: &str = "remap.test/user-namespace:1";

/// The first of its users, on the host.
const ROOT: u32 = 300_000;

fn start(context: &Context, shm: &Shm) -> Result<Workload> {
    let map = format!("0:{ROOT}:65536");
    Workload::start_by(context, shm, "sem-creator-first", |run| {
        run.flag(["--uidmap", &map, "--gidmap", &map])
    })
}

/// From one host to the other: what belongs to its users does so there, too.
fn moves(context: &Context) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let archive = format!("{}/checkpoint.tar", context.dir()?);
    let (shm, shm_on_b) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let workload = start(context, &shm)?;
    let before = workload.probe(&a)?;
    let names = shm.names()?;
    ensure!(
        names.contains(&format!(" {ROOT}:{ROOT} ")),
        "whose are {names}"
    );
    a.checkpoint(ID, IMAGE)?;
    a.remove(ID)?;

    a.export_checkpoint(IMAGE, &archive)?;
    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    b.import_checkpoint(&archive)?;
    b.restore(ID, IMAGE)?;
    workload.expect_same(&b, &before)?;
    shm_on_b.expect_names(&names)?;
    b.remove(ID)?;
    b.remove_image(IMAGE)?;
    a.remove_image(IMAGE)
}

/// With the stock shim, CRIU may not read its images.
fn stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    start(context, &shm)?;
    let _conf = CriuConf::write(context.a(), HELPFUL)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ensure!(ctr.restore(ID, IMAGE).is_err(), "the restore succeeds");
    expect_in_log(&ctr, "work/restore.log", &[".img: Permission denied"])?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

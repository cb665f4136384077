//! What the stock shim makes of the workloads of [`crate::migration`]: this is what
//! there is to repair. A scenario here fails when the stock shim has learned it.

use anyhow::{Result, ensure};
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, Flavour, Runtime};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{self, ID, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("stock::sem_creator_first", |context| {
        fails(context, "sem-creator-first", Some(NO_LINK_REMAP))
    })
    .runtimes(STOCK)
    .flavours(&Flavour::ALL),
    Scenario::new("stock::sem_user_first", |context| {
        fails(context, "sem-user-first", None)
    })
    .runtimes(STOCK),
    Scenario::new("stock::sem_fd", |context| {
        fails(context, "sem-fd", Some(NO_LINK_REMAP))
    })
    .runtimes(STOCK),
    Scenario::new("stock::named_only", |context| {
        fails(context, "named-only", None)
    })
    .runtimes(STOCK),
    Scenario::new("stock::hard_links", |context| {
        fails(context, "hard-links", Some(NO_LINK_REMAP))
    })
    .runtimes(STOCK),
    Scenario::new("stock::big", |context| fails(context, "big", Some(TOO_BIG))).runtimes(STOCK),
    Scenario::new("stock::odd_names", |context| {
        fails(context, "odd-names", Some(NO_LINK_REMAP))
    })
    .runtimes(STOCK),
    Scenario::new("stock::demo", demo).runtimes(STOCK),
    Scenario::new("stock::unlinked_only", unlinked_only).runtimes(STOCK),
];

const STOCK: &[Runtime] = &[Runtime::Stock];

const IMAGE: &str = "remap.test/stock:1";

/// All that an administrator can set to help.
pub(crate) const HELPFUL: &str = "link-remap\nghost-limit 128M\n";

// What CRIU's logs say of it.
const NO_LINK_REMAP: &str = "Use link-remap option";
const TOO_BIG: &str = "increase limit";

/// The same of a restore on an empty tmpfs. Tasks are restored beside each other, and which
/// file is the first to be missed is chance.
const MISSING: [&str; 2] = [
    "Can't link dev/shm/link_remap.",
    "on restore: No such file or directory",
];

/// The workload `name`: see [`expect_failures`].
fn fails(context: &Context, name: &'static str, dump: Option<&str>) -> Result<()> {
    let shm = Shm::mount(context.a(), ID)?;
    Workload::start(context, &shm, name)?;
    expect_failures(context, &shm, dump)
}

/// Python's multiprocessing with a named semaphore.
fn demo(context: &Context) -> Result<()> {
    let shm = Shm::mount(context.a(), ID)?;
    workload::python(context, &shm)?
        .args(["python3", &format!("{WORKLOAD_DIR}/demo.py")])
        .start()?;
    workload::wait_until_ready(&context.ctr())?;
    expect_failures(context, &shm, Some(NO_LINK_REMAP))
}

/// The dump fails by `dump`, unless it is `None`. If CRIU is configured as well as
/// it can be, the dump succeeds and the restore on an empty tmpfs fails.
fn expect_failures(context: &Context, shm: &Shm, dump: Option<&str>) -> Result<()> {
    let ctr = context.ctr();
    if let Some(reason) = dump {
        ensure!(ctr.checkpoint(ID, IMAGE).is_err(), "the dump succeeds");
        expect_in_log(&ctr, "criu-dump.log", &[reason])?;
    }

    let _conf = CriuConf::write(context.a(), HELPFUL)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;
    ensure!(ctr.restore(ID, IMAGE).is_err(), "the restore succeeds");
    expect_in_log(&ctr, "work/restore.log", &MISSING)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// A small file without any name: CRIU alone can do that.
fn unlinked_only(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload = Workload::start(context, &shm, "unlinked-only")?;
    let before = workload.probe(&ctr)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// The file `log` of the container's bundle must contain one of `texts`.
pub(crate) fn expect_in_log(ctr: &Ctr, log: &str, texts: &[&str]) -> Result<()> {
    expect_in_log_of(ctr, ID, log, texts)
}

/// As [`expect_in_log`], for the container `id`.
pub(crate) fn expect_in_log_of(ctr: &Ctr, id: &str, log: &str, texts: &[&str]) -> Result<()> {
    let tasks = "/run/containerd/io.containerd.runtime.v2.task";
    let path = format!("{tasks}/{}/{id}/{log}", ctr.namespace());
    // By the host itself: `work` is an absolute symbolic link.
    let output = ctr.host().command("cat").arg(&path).check()?;
    let said = output.text();
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("Error")).collect();
    ensure!(
        texts.iter().any(|text| said.contains(text)),
        "none of {texts:?} in {path}, which has the errors\n{}",
        errors.join("\n")
    );
    Ok(())
}

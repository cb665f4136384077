//! Files of processes in `/proc`: those of the living and of the dead come back; those that would
//! come back as another's, or not at all, are refused.

use anyhow::{Context as _, Result, ensure};
use remap_test::image::WORKLOAD_DIR;
use remap_test::{Ctr, Runtime};

use crate::context::Context;
use crate::obstacles::holder::{self, Container};
use crate::obstacles::session::Session;
use crate::scenario::Scenario;
use crate::self_check::expect_progress;
use crate::workload::{ID, wait_until_ready};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("procfs::comes_back", comes_back).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("procfs::refused", refused).runtimes(&[Runtime::DropIn]),
    Scenario::new("procfs::stock_opens_anothers", stock_opens_anothers).runtimes(&[Runtime::Stock]),
    Scenario::new("procfs::stock_cannot_restore", stock_cannot_restore)
        .runtimes(&[Runtime::Stock])
        .full(),
];

const IMAGE: &str = "remap.test/procfs:1";

/// What holds it, and how it has to be named in the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("dead-descriptors", "a file cannot be looked at"),
    ("reused-pid", "/status: its process "),
    ("reused-pid-directory", "(deleted): its process "),
    ("reused-as-thread", "and a thread has the number now"),
    ("dead-thread", "/status: it is of thread "),
    ("dead-thread-directory", "(deleted): it is of thread "),
    ("living-thread", "which is not there yet when a restore"),
    ("thread-as-process", "by a directory of its own"),
    ("process-outside", "is not part of the checkpoint"),
    ("deep-proc", "CRIU cannot make up this file"),
    (
        "host-process",
        "on /host/proc/1/status: it is of process 1 of another",
    ),
];

/// The container, with the host's `/proc`.
fn start<'c>(context: &Context<'c>) -> Result<Container<'c>> {
    let dir = context.dir()?;
    Container::start(context, &dir, |run| {
        run.mount("type=bind,src=/proc,dst=/host/proc,options=rbind:ro")
    })
}

/// Twice, the second time from a restored container.
fn comes_back(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    holder::run(context)?
        .args(["python3", &format!("{WORKLOAD_DIR}/proc_files.py")])
        .start()?;
    wait_until_ready(&ctr)?;
    let mut count = expect_progress(&ctr, "proc-files", 0)?;
    for _ in 0..2 {
        holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
        count = expect_progress(&ctr, "proc-files", count)?;
        ctr.remove(ID)?;
        ctr.restore(ID, IMAGE)?;
        count = expect_progress(&ctr, "proc-files", count)?;
        ctr.remove_image(IMAGE)?;
    }
    ctr.remove(ID)
}

/// All is named at once, the container goes on, and is checkpointed when the causes are gone.
fn refused(context: &Context) -> Result<()> {
    let container = start(context)?;
    let ctr = context.ctr();
    let session = Session::begin(&ctr)?;
    let names: Vec<&str> = REFUSED.iter().map(|(name, _)| *name).collect();
    let holders = container.add(&names)?;
    ensure!(
        holders.len() == names.len(),
        "some are missing: {holders:?}"
    );
    let said = container.expect_refusal(container.checkpoint())?;
    for (name, part) in REFUSED {
        ensure!(said.contains(part), "{name}: no {part:?} in {said}");
    }
    let reused = said.matches("another one has the number now").count();
    ensure!(reused == 2, "{reused} reused numbers in {said}");
    container.expect(&holders)?;
    container.end(&holders)?;
    session.end()?;
    container.checkpoint().context("all are gone")?;
    ctr.remove(ID)
}

/// With the stock shim, the file of a dead process is that of another one after a restore.
fn stock_opens_anothers(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let container = start(context)?;
    let holders = container.add(&["reused-pid"])?;
    let holder = holders.first().context("there is none")?;
    let read = || {
        let line = format!(
            "cd /proc/{}/fd; for f in *; do case $(readlink $f) in /proc/*) cat $f;; esac; done",
            holder.pid
        );
        ctr.exec(ID, &["sh", "-c", &line])
    };
    let is_alive = |text: &str| text.contains("Name:\tpython3");
    ensure!(!is_alive(&read()?.text()), "it is of a living process");
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    let said = read()?;
    ensure!(is_alive(&said.text()), "it is not another's: {said:?}");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// With the stock shim, the others are dumped without a word and cannot be restored.
fn stock_cannot_restore(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let mut restored = Vec::new();
    for (name, _) in REFUSED {
        // The first is refused by CRIU, and those of another process are opened as its.
        if [
            "dead-descriptors",
            "reused-pid",
            "reused-pid-directory",
            "host-process",
        ]
        .contains(name)
        {
            continue;
        }
        let container = start(context)?;
        let session = Session::begin(&ctr)?;
        container.add(&[name])?;
        holder::unless_busy(|| ctr.checkpoint(ID, IMAGE))?;
        session.end()?;
        ctr.remove(ID)?;
        if ctr.restore(ID, IMAGE).is_ok() {
            restored.push(name);
        }
        forget(&ctr)?;
    }
    ensure!(restored.is_empty(), "these were restored: {restored:?}");
    Ok(())
}

fn forget(ctr: &Ctr) -> Result<()> {
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

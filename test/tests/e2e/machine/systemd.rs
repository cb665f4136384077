//! A container whose control group systemd makes (runc's `--systemd-cgroup`), on the machine itself,
//! where systemd is the init.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::{self, BUSYBOX_IMAGE};
use remap_test::{Containerd, Ctr, Host, Runtime, logs, shim, wait};

use super::figures::{metrics, number};
use crate::context::Context;
use crate::oom;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::stage;
use crate::stock::expect_in_log;
use crate::workload::{ID, LIMIT};

/// See [`super::SCENARIOS`].
pub(super) const MOVES: Scenario =
    Scenario::new("machine::systemd", moves).runtimes(&[Runtime::Remap, Runtime::DropIn]);
pub(super) const BESIDE: Scenario = Scenario::new("machine::systemd_beside", beside);
pub(super) const STOCK: Scenario =
    Scenario::new("machine::systemd_stock", stock).runtimes(&[Runtime::Stock]);

const IMAGE: &str = "remap.test/systemd:1";

const CLONE: &str = "clone";

/// What systemd calls the control group, and where it is (systemd.slice(5), systemd.scope(5)).
const UNIT: &str = "ctr-shm.scope";
const GROUP: &str = "/machine.slice/ctr-shm.scope";
const CLONE_GROUP: &str = "/machine.slice/ctr-clone.scope";

/// What runc is told (its docs/systemd.md).
const CGROUP: &str = "machine.slice:ctr:shm";

/// Not much more than the container needs.
const MEMORY_LIMIT_BYTES: &str = "33554432";

/// Holds a file open whose first name is gone, as glibc's sem_open(3) does.
const LINKED: &str = "echo held >/dev/shm/first; exec 3<>/dev/shm/first; \
                      ln /dev/shm/first /dev/shm/second; rm /dev/shm/first; touch /ready; \
                      while :; do sleep 1; done";

/// A container with an external tmpfs is paused, saved, and restored on an empty one, each time in a
/// scope of systemd's, which goes with it; and a restored one that has no memory left is told of.
fn moves(context: &Context) -> Result<()> {
    on_machine(context, |ctr| {
        let shm = Shm::mount(ctr.host(), ID)?;
        start(context, ctr, &shm)?;
        check(ctr).context("at first")?;
        ctr.pause(ID)?;
        ctr.wait_for(ID, &Status::Paused, LIMIT)?;
        let events = format!("/sys/fs/cgroup{GROUP}/cgroup.events");
        let frozen = ctr.host().shell(&format!("cat {events}"))?;
        ensure!(frozen.text().contains("frozen 1"), "{frozen:?}");
        ctr.resume(ID)?;
        check(ctr).context("after the pause")?;

        ctr.checkpoint(ID, IMAGE)?;
        check(ctr).context("after the checkpoint")?;
        ctr.remove(ID)?;
        expect_no_unit(ctr)?;
        shm.clear()?;
        ctr.restore(ID, IMAGE)?;
        check(ctr).context("after the restore")?;
        shm.expect_no_leftovers()?;
        let events = oom::follow(ctr)?;
        let hog = ctr.exec(ID, &["sh", "-c", oom::HOG])?;
        ensure!(hog.exit_code() != 0, "{hog:?}");
        oom::expect(&events, ID, "/tasks/oom", 1)?;
        events.kill()?;
        ctr.remove(ID)?;
        expect_no_unit(ctr)?;
        ctr.remove_image(IMAGE)
    })
}

/// A clone, restored beside the original, has a scope of its own. With the stock shim it is refused,
/// or comes into the original's, as the runtime decides.
fn beside(context: &Context) -> Result<()> {
    on_machine(context, |ctr| {
        let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, ID);
        let run = by_systemd(context, run.flag(["--cgroup", CGROUP]));
        run.shell("while :; do sleep 1; done").start()?;
        ctr.checkpoint(ID, IMAGE)?;
        let restored = ctr.restore(CLONE, IMAGE);
        if context.runtime().is_ours() {
            restored?;
            let group = group(ctr, CLONE)?;
            ensure!(group == CLONE_GROUP, "the clone is in {group:?}");
        } else if restored.is_ok() {
            let group = group(ctr, CLONE)?;
            ensure!(group == GROUP, "the clone is in {group:?}");
        }
        ctr.remove(CLONE)?;
        if context.runtime().is_ours() {
            let group = group(ctr, ID)?;
            ensure!(group == GROUP, "the original is in {group:?}");
        }
        ctr.remove(ID)?;
        expect_no_unit(ctr)?;
        ctr.remove_image(IMAGE)
    })
}

/// The control group of a container that runs.
fn group(ctr: &Ctr, id: &str) -> Result<String> {
    let pid = ctr.wait_for(id, &Status::Running, LIMIT)?.pid;
    let said = ctr.host().shell(&format!("cat /proc/{pid}/cgroup"))?;
    let text = said.text();
    let group = text.strip_prefix("0::");
    Ok(group.with_context(|| format!("{said:?}"))?.to_owned())
}

/// The stock shim cannot save it.
fn stock(context: &Context) -> Result<()> {
    on_machine(context, |ctr| {
        let shm = Shm::mount(ctr.host(), ID)?;
        start(context, ctr, &shm)?;
        check(ctr)?;
        ensure!(ctr.checkpoint(ID, IMAGE).is_err(), "the dump succeeds");
        expect_in_log(ctr, "criu-dump.log", &["Use link-remap option"])?;
        ctr.remove(ID)?;
        expect_no_unit(ctr)
    })
}

/// Gives `scenario` the machine as a host; afterwards nothing of it runs there.
fn on_machine(context: &Context, scenario: impl FnOnce(&Ctr) -> Result<()>) -> Result<()> {
    const ARCHIVE: &str = "/srv/busybox.tar";
    let host = Host::machine(context.flavour())?;
    shim::install(&host, &stage::shim_binary()?)?;
    context.runtime().prepare(&host)?;
    image::busybox(context.tree().root(), &host.path(ARCHIVE))?;
    let ctr = Ctr::new(&host);
    ctr.import_image(ARCHIVE)?;
    let result = scenario(&ctr);
    let result = result.or_else(|error| {
        let logs = logs::gather(&host, context.name())?;
        let complaints = Containerd::of(&host).complaints(10)?;
        Err(error.context(format!("logs: {}; {complaints}", logs.display())))
    });
    ctr.remove_all()?;
    if ctr.images()?.iter().any(|name| name == IMAGE) {
        ctr.remove_image(IMAGE)?;
    }
    Containerd::of(&host).stop()?;
    result
}

fn start(context: &Context, ctr: &Ctr, shm: &Shm) -> Result<()> {
    let run = ctr
        .run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind(shm.path(), "/dev/shm")
        .flag(["--cgroup", CGROUP])
        .flag(["--memory-limit", MEMORY_LIMIT_BYTES]);
    by_systemd(context, run).shell(LINKED).start()?;
    let ready = || Ok(ctr.exec(ID, &["test", "-e", "/ready"])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, ready)?, "it does not get ready");
    Ok(())
}

/// Only under the stock shim's name `ctr` has a flag for it.
fn by_systemd<'h>(context: &Context, run: Run<'h>) -> Run<'h> {
    if context.runtime() == Runtime::Remap {
        run.annotation("io.remap.systemd-cgroup", "true")
    } else {
        run.flag(["--runc-systemd-cgroup"])
    }
}

/// It runs in the scope, holds its file, and its figures are those of the scope.
fn check(ctr: &Ctr) -> Result<()> {
    let host = ctr.host();
    let group = group(ctr, ID)?;
    ensure!(group == GROUP, "it is in {group:?}");
    let state = host.command("systemctl").args(["is-active", UNIT]).run()?;
    ensure!(state.text() == "active", "{UNIT} is {state:?}");

    let line = "cd /dev/shm && cat second && ls && \
                [ $(stat -Lc %i /proc/1/fd/3) = $(stat -c %i second) ] && echo same";
    let held = ctr.exec(ID, &["sh", "-c", line])?;
    ensure!(held.text() == "held\nsecond\nsame", "{held:?}");

    let file = host.shell(&format!("cat /sys/fs/cgroup{GROUP}/memory.stat"))?;
    ensure!(file.text().contains("anon "), "{file:?}");
    let metrics = metrics(ctr, ID)?;
    for (part, name) in [
        ("pids", "current"),
        ("cpu", "usage_usec"),
        ("memory", "usage"),
    ] {
        ensure!(number(&metrics, part, name)? > 0, "no {name}: {metrics}");
    }
    Ok(())
}

/// It ends a moment after its last process.
fn expect_no_unit(ctr: &Ctr) -> Result<()> {
    let gone = || {
        let units = ctr
            .host()
            .shell("systemctl --no-legend --all list-units 'ctr-*'")?;
        let group = format!("test ! -e /sys/fs/cgroup{GROUP}");
        let no_group = ctr.host().command("sh").args(["-c", &group]).run()?;
        Ok(units.text().is_empty() && no_group.exit_code() == 0)
    };
    ensure!(wait::until(LIMIT, gone)?, "{UNIT} is still there");
    Ok(())
}

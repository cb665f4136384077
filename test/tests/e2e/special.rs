//! Watches, and deleted directories in use: what CRIU can do if it is helped, and what it does wrong.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("special::watch", watch).runtimes(REMAP),
    Scenario::new("special::watch_stock", watch_stock).runtimes(STOCK),
    Scenario::new("special::directories", directories).runtimes(REMAP),
    Scenario::new("special::remade_stock", remade_stock).runtimes(STOCK),
    Scenario::new("special::nested_stock", nested_stock).runtimes(STOCK),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const STOCK: &[Runtime] = &[Runtime::Stock];

const ID: &str = "special";

const IMAGE: &str = "remap.test/special:1";

const LIMIT: Duration = Duration::from_secs(60);

/// Watches two files of the overlay, and writes the name of each that is written to /events.
const WATCH: &str = "
import ctypes, os, struct
libc = ctypes.CDLL(None)
os.makedirs('/place/a b')
watch = libc.inotify_init1(0)
names = {}
for name in ['/place/f', '/place/a b/g']:
    open(name, 'w').close()
    names[libc.inotify_add_watch(watch, name.encode(), 2)] = name
open('/ready', 'w').close()
while True:
    descriptor, *_ = struct.unpack_from('iIII', os.read(watch, 4096))
    with open('/events', 'a') as events:
        print(names[descriptor], file=events)
";

/// Is in a deleted directory, has another open, and a file in one that is gone as well.
const DIRECTORIES: &str = "mkdir /a /b /c; cd /a; exec 3</b; exec 4<>/c/f; echo text >&4; \
    rm -r /a /b /c; touch /ready; while :; do sleep 0.1; done";

/// What is left of them.
const LOOK: &str = "readlink /proc/1/cwd; readlink /proc/1/fd/3; cat /proc/1/fd/4; ls /";

const REMADE: &str = "mkdir /d; exec 3</d; rmdir /d; mkdir /d; \
    touch /ready; while :; do sleep 0.1; done";

const NESTED: &str = "mkdir -p /d/e; exec 3</d; exec 4</d/e; rm -r /d; \
    touch /ready; while :; do sleep 0.1; done";

fn start(context: &Context, line: &str) -> Result<()> {
    let run = context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID);
    run.shell(line).start()?;
    wait_until_ready(context)
}

fn start_watch(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.args(["python3", "-c", WATCH]).start()?;
    wait_until_ready(context)
}

fn wait_until_ready(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let ready = || Ok(ctr.exec(ID, &["test", "-e", "/ready"])?.status.success());
    ensure!(wait::until(LIMIT, ready)?, "it does not get ready");
    Ok(())
}

fn look(ctr: &Ctr, line: &str) -> Result<String> {
    let output = ctr.exec(ID, &["sh", "-c", line])?.ok()?;
    Ok(output.text().into_owned())
}

/// The file is written until that is seen: at first the watch may not be there yet.
fn expect_event(ctr: &Ctr, file: &str) -> Result<()> {
    let line = format!("rm -f /events; echo x >>'{file}'; sleep 0.2; cat /events || true");
    let seen = || Ok(look(ctr, &line)?.contains(file));
    ensure!(wait::until(LIMIT, seen)?, "nobody sees {file} change");
    Ok(())
}

/// A watch on the root's overlay lives on, also of a name that CRIU's configuration cannot hold.
fn watch(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    start_watch(context)?;
    for _ in 0..2 {
        for file in ["/place/f", "/place/a b/g"] {
            expect_event(&ctr, file)?;
        }
        ctr.checkpoint(ID, IMAGE)?;
        expect_event(&ctr, "/place/f").context("after the dump")?;
        ctr.remove(ID)?;
        ctr.restore(ID, IMAGE)?;
        ctr.remove_image(IMAGE)?;
    }
    for file in ["/place/f", "/place/a b/g"] {
        expect_event(&ctr, file).context("after the restore")?;
    }
    ctr.remove(ID)
}

/// CRIU alone does not find it.
fn watch_stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    start_watch(context)?;
    expect_event(&ctr, "/place/f")?;
    ensure!(ctr.checkpoint(ID, IMAGE).is_err(), "the dump succeeds");
    let log = context
        .a()
        .shell(&format!("cat {}/criu-dump.log", bundle()))?;
    ensure!(
        log.text().contains("Can't dump that handle"),
        "it fails by something else:\n{}",
        log.text()
    );
    ctr.remove(ID)
}

/// Deleted directories that are in nobody's way.
fn directories(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    start(context, DIRECTORIES)?;
    let before = look(&ctr, LOOK)?;
    ensure!(
        before.starts_with("/a (deleted)\n/b (deleted)\ntext\n"),
        "{before}"
    );
    for _ in 0..2 {
        ctr.checkpoint(ID, IMAGE)?;
        ctr.remove(ID)?;
        ctr.restore(ID, IMAGE)?;
        ctr.remove_image(IMAGE)?;
        let now = look(&ctr, LOOK)?;
        ensure!(now == before, "there was\n{before}\nand is\n{now}");
    }
    ctr.remove(ID)
}

/// Why a directory whose name is taken again is refused: the stock shim's restore removes the new
/// one, and says nothing.
fn remade_stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    start(context, REMADE)?;
    ensure!(look(&ctr, "ls -d /d")? == "/d", "it is not set up");
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    let there = ctr.exec(ID, &["test", "-e", "/d"])?;
    ensure!(there.exit_code() != 0, "the new directory is still there");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Why deleted directories in one another are refused: the restore fails.
fn nested_stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    start(context, NESTED)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ensure!(ctr.restore(ID, IMAGE).is_err(), "the restore succeeds");
    let log = context
        .a()
        .shell(&format!("cat {}/{RESTORE_LOG}", bundle()))?;
    ensure!(
        log.text().contains("Directory not empty"),
        "it fails by something else:\n{}",
        log.text()
    );
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// In the bundle, what CRIU has logged of a restore.
const RESTORE_LOG: &str = "work/restore.log";

/// The bundle of the container.
fn bundle() -> String {
    format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}")
}

//! Binds that are not a whole tmpfs on /dev/shm: sub-directories of a tmpfs that the
//! host itself uses, a destination behind a symbolic link, what comes along with a bind, and binds
//! that somebody has changed.

mod along;
mod odd;
mod sockets;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Run;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Host, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("binds::directories_of_run", directories_of_run).runtimes(REMAP),
    Scenario::new("binds::nested", nested).runtimes(REMAP),
    Scenario::new("binds::whole_and_part", whole_and_part).runtimes(REMAP),
    Scenario::new("binds::along", along::nested).runtimes(REMAP),
    Scenario::new("binds::options", along::options).runtimes(REMAP),
    Scenario::new("binds::propagated", along::propagated).runtimes(STOCK_AND_REMAP),
    Scenario::new("binds::stays_the_hosts", along::stays_the_hosts).runtimes(STOCK_AND_REMAP),
    Scenario::new("binds::covered", odd::covered).runtimes(REMAP),
    Scenario::new("binds::upon", odd::upon).runtimes(REMAP),
    Scenario::new("binds::upon_is_lost", odd::upon_is_lost).runtimes(&[Runtime::Stock]),
    Scenario::new("binds::several", odd::several).runtimes(REMAP),
    Scenario::new("binds::moved_out", odd::moved_out).runtimes(REMAP),
    Scenario::new("binds::replaced", odd::replaced).runtimes(REMAP),
    Scenario::new("binds::own_kind", odd::own_kind).runtimes(REMAP),
    Scenario::new("binds::of_the_system", odd::of_the_system).runtimes(REMAP),
    Scenario::new("binds::sockets", sockets::listener).runtimes(REMAP),
];

const STOCK_AND_REMAP: &[Runtime] = &[Runtime::Stock, Runtime::Remap];

const REMAP: &[Runtime] = &[Runtime::Remap];

const ID: &str = "binds";

const IMAGE: &str = "remap.test/binds:1";

/// Directories of the host's /run, a tmpfs on which the host holds many files.
const BOUND: &str = "/run/remap-binds/shm /run/remap-binds/app";

/// Holds a file whose opened name is gone on one mount, and a named one on the other.
const WORKLOAD: &str = "exec 3<>/dev/shm/first; echo held >&3; \
                        ln /dev/shm/first /dev/shm/second; rm /dev/shm/first; \
                        exec 4<>/var/run/app/named; echo named >&4; \
                        echo closed >/var/run/app/closed; touch /ready; \
                        while :; do sleep 0.1; done";

/// What both hosts must show: the held inodes are those that the names lead to.
const LOOK: &str = "same() { [ $(stat -L -c %i /proc/1/fd/$1) = $(stat -c %i $2) ] && echo same; }; \
                    cat /dev/shm/second /var/run/app/named /var/run/app/closed; \
                    same 3 /dev/shm/second; same 4 /run/app/named; ls /dev/shm";

fn directories_of_run(context: &Context) -> Result<()> {
    let _directories = [
        Directories::make(context.a())?,
        Directories::make(context.b())?,
    ];
    context
        .b()
        .shell("echo neighbour >/run/remap-binds/neighbour")?;
    let run = context
        .ctr()
        .run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind("/run/remap-binds/shm", "/dev/shm")
        .bind("/run/remap-binds/app", "/var/run/app");
    let expected = "held\nnamed\nclosed\nsame\nsame\nsecond";
    moves(context, run.shell(WORKLOAD), LOOK, expected)?;
    let neighbour = context.b().shell("cat /run/remap-binds/neighbour")?;
    ensure!(
        neighbour.text() == "neighbour",
        "what lay beside the binds is gone"
    );
    context.ctr_on_b().remove(ID)
}

/// Mounts of each kind lie on a carried mount: the places where they lie are part of it.
fn nested(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "echo outer >/dev/shm/outer; exec 3<>/dev/shm/inner/held; echo inner >&3; \
                            echo own >/dev/shm/own/file; touch /ready; while :; do sleep 0.1; done";
    const LOOK: &str = "cd /dev/shm; cat outer inner/held own/file file.conf; ls; stat -c %a inner";
    let _directories = [
        Directories::make(context.a())?,
        Directories::make(context.b())?,
    ];
    for host in [context.a(), context.b()] {
        host.shell("echo conf >/run/remap-binds/conf; chmod 751 /run/remap-binds/app")?;
    }
    let run = context
        .ctr()
        .run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind("/run/remap-binds/shm", "/dev/shm")
        .bind("/run/remap-binds/app", "/dev/shm/inner")
        .bind("/run/remap-binds/conf", "/dev/shm/file.conf")
        .mount("type=tmpfs,src=tmpfs,dst=/dev/shm/own");
    let expected = "outer\ninner\nown\nconf\nfile.conf\ninner\nouter\nown\n751";
    moves(context, run.shell(WORKLOAD), LOOK, expected)?;
    context.ctr_on_b().remove(ID)
}

/// A directory of what is bound is bound a second time, once upon itself and once elsewhere, and a
/// file has names inside and outside of it.
fn whole_and_part(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "exec 3<>/part/held; echo held >&3; ln /whole/sub/held /whole/link; \
                            exec 4</dev/shm/sub/held; touch /ready; while :; do sleep 0.1; done";
    const LOOK: &str = "same() { [ $(stat -L -c %i $1) = $(stat -L -c %i $2) ] && echo same; }; \
                        cat /dev/shm/link; same /proc/1/fd/3 /dev/shm/link; \
                        same /proc/1/fd/4 /part/held; same /part/held /dev/shm/sub/held; \
                        stat -c %h /part/held; ls /dev/shm /part";
    let _directories = [
        Directories::make(context.a())?,
        Directories::make(context.b())?,
    ];
    for host in [context.a(), context.b()] {
        host.shell("mkdir /run/remap-binds/shm/sub")?;
    }
    let run = context
        .ctr()
        .run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind("/run/remap-binds/shm", "/dev/shm")
        .bind("/run/remap-binds/shm", "/whole")
        .bind("/run/remap-binds/shm/sub", "/dev/shm/sub")
        .bind("/run/remap-binds/shm/sub", "/part");
    let expected = "held\nsame\nsame\nsame\n2\n/dev/shm:\nlink\nsub\n\n/part:\nheld";
    moves(context, run.shell(WORKLOAD), LOOK, expected)?;
    context.ctr_on_b().remove(ID)
}

/// Runs a container on host a, moves it to host b, and sees the same by `look` there.
fn moves(context: &Context, run: Run<'_>, look: &str, expected: &str) -> Result<()> {
    moves_after(context, run, || Ok(()), look, expected)
}

/// The same, with something to be done when the container has been started.
fn moves_after(
    context: &Context,
    run: Run<'_>,
    started: impl Fn() -> Result<()>,
    look: &str,
    expected: &str,
) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    start(context, run, started)?;
    expect(&a, look, expected).context("before")?;
    move_on(context)?;
    expect(&b, look, expected).context("on the other host")
}

/// Starts a container and waits until it is ready; it may need what `started` does for that.
fn start(context: &Context, run: Run<'_>, started: impl Fn() -> Result<()>) -> Result<()> {
    let ctr = context.ctr();
    let is_there = |path| Ok(ctr.exec(ID, &["test", "-e", path])?.status.success());
    run.start()?;
    started()?;
    ensure!(
        wait::until(Duration::from_secs(10), || is_there("/ready"))?,
        "it does not get ready"
    );
    Ok(())
}

/// Moves the container from host a to host b.
fn move_on(context: &Context) -> Result<()> {
    let archive = format!("{}/checkpoint.tar", context.dir()?);
    let (a, b) = (context.ctr(), context.ctr_on_b());
    a.checkpoint(ID, IMAGE)?;
    a.remove(ID)?;
    a.export_checkpoint(IMAGE, &archive)?;
    a.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    b.import_checkpoint(&archive)?;
    b.restore(ID, IMAGE)?;
    b.remove_image(IMAGE)
}

fn expect(ctr: &Ctr, look: &str, expected: &str) -> Result<()> {
    let output = ctr.exec(ID, &["sh", "-c", look])?.ok()?;
    let seen = output.text();
    ensure!(seen == expected, "there is {seen:?}, not {expected:?}");
    Ok(())
}

/// The directories, gone when this is dropped.
struct Directories<'h>(&'h Host);

impl<'h> Directories<'h> {
    fn make(host: &'h Host) -> Result<Self> {
        host.shell(&format!("mkdir -p {BOUND}"))?;
        Ok(Self(host))
    }
}

impl Drop for Directories<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.shell("rm -r /run/remap-binds") {
            eprintln!("{error:#}");
        }
    }
}

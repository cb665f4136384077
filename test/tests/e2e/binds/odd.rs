//! Binds that the container or the host has changed since its start, and several of one tmpfs.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::BUSYBOX_IMAGE;

use super::{Directories, ID, IMAGE, expect, moves, start};
use crate::context::Context;
use crate::workload::LIMIT;

const SHM: &str = "/run/remap-binds/shm";

const APP: &str = "/run/remap-binds/app";

fn run<'h>(context: &Context<'h>) -> Run<'h> {
    let run = context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID);
    run.flag(["--privileged"])
}

fn directories<'c>(context: &Context<'c>) -> Result<[Directories<'c>; 2]> {
    Ok([
        Directories::make(context.a())?,
        Directories::make(context.b())?,
    ])
}

/// What the container has mounted above a bind hides it: it is carried all the same.
pub(super) fn covered(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "echo under >/outer/inner/under; mount -t tmpfs own /outer; \
                            echo over >/outer/over; touch /ready; while :; do sleep 0.1; done";
    let _directories = directories(context)?;
    let run = run(context).bind(SHM, "/outer/inner").shell(WORKLOAD);
    moves(context, run, "ls /outer; cat /outer/over", "over\nover")?;
    let b = context.ctr_on_b();
    expect(&b, "umount /outer; cat /outer/inner/under", "under")?;
    b.remove(ID)
}

/// What lies on a bind at the same place CRIU would take for the bind.
pub(super) fn upon(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "echo under >/dev/shm/under; mount -t tmpfs own /dev/shm; \
                            echo over >/dev/shm/over; touch /ready; \
                            while :; do sleep 0.1; done";
    let _directories = directories(context)?;
    let run = run(context).bind(SHM, "/dev/shm").shell(WORKLOAD);
    let parts = ["at /dev/shm upon a bind", "unmount it"];
    refused(context, run, || Ok(()), &parts)?;
    let ctr = context.ctr();
    expect(&ctr, "cat /dev/shm/over; umount /dev/shm", "over")?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// The stock shim takes the checkpoint of the same, and its restore has lost what was in the mount.
pub(super) fn upon_is_lost(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "mount -t tmpfs own /dev/shm; echo over >/dev/shm/over; touch /ready; \
                            while :; do sleep 0.1; done";
    let _directories = directories(context)?;
    let ctr = context.ctr();
    let run = run(context).bind(SHM, "/dev/shm").shell(WORKLOAD);
    start(context, run, || Ok(()))?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    expect(&ctr, "ls /dev/shm", "")?;
    ctr.remove(ID)
}

/// Two binds at one place, a third one that is read-only, and one that the container has made; and a
/// process of the host's that has a file open there, so that only some of it is carried.
pub(super) fn several(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "echo read >/dev/shm/read; exec 3</ro/read; mkdir /own /dev/shm/dir; \
                            mount --bind /dev/shm/dir /own; exec 4<>/own/first; echo own >&4; \
                            ln /own/first /own/second; rm /own/first; \
                            touch /ready; while :; do sleep 0.1; done";
    const LOOK: &str = "cat /ro/read /own/second /dev/shm/dir/second; \
                        for f in 3:/dev/shm/read 4:/dev/shm/dir/second 4:/own/second; do \
                        [ /proc/1/fd/${f%%:*} -ef ${f#*:} ] && echo same; done; ls /dev/shm /own; \
                        touch /ro/x 2>/dev/null || echo read-only";
    let _directories = directories(context)?;
    let held = format!("exec 9>{SHM}/theirs && echo held && exec sleep 600");
    let neighbour = context.a().command("sh").args(["-c", &held]).spawn()?;
    let run = run(context)
        .bind(APP, "/dev/shm")
        .bind(SHM, "/dev/shm")
        .mount(&format!("type=bind,src={SHM},dst=/ro,options=rbind:ro"))
        .shell(WORKLOAD);
    let after = || {
        let said = || Ok(!neighbour.stdout_so_far().is_empty());
        ensure!(remap_test::wait::until(LIMIT, said)?, "no neighbour");
        Ok(())
    };
    let (a, b) = (context.ctr(), context.ctr_on_b());
    start(context, run, after)?;
    let names = |theirs| format!("/dev/shm:\ndir\nread\n{theirs}\n/own:\nsecond\nread-only");
    let files = "read\nown\nown\nsame\nsame\nsame";
    expect(&a, LOOK, &format!("{files}\n{}", names("theirs\n")))?;
    super::move_on(context)?;
    expect(&b, LOOK, &format!("{files}\n{}", names("")))?;
    b.remove(ID)?;
    neighbour.kill()?;
    Ok(())
}

/// A file that the host moves out of what is bound has no path for CRIU any more.
pub(super) fn moved_out(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "echo held >/data/held; exec 3<>/data/held; touch /ready; \
                            while :; do sleep 0.1; done";
    let _directories = directories(context)?;
    let (ctr, host) = (context.ctr(), context.a());
    let run = run(context).bind(SHM, "/data").shell(WORKLOAD);
    let away = || host.shell(&format!("mv {SHM}/held {APP}/held")).map(drop);
    let parts = ["fd 3", "moved out", "bound on /data", "move it back"];
    refused(context, run, away, &parts)?;
    host.shell(&format!("rm {APP}/held"))?;
    refused_again(context, &parts)?;
    expect(&ctr, "cat /proc/1/fd/3", "held")?;
    ctr.remove(ID)
}

/// A single file that the host replaces, as editors do: the container goes on with the old one.
pub(super) fn replaced(context: &Context) -> Result<()> {
    let _directories = directories(context)?;
    let host = context.a();
    host.shell(&format!("echo old >{SHM}/conf"))?;
    let run = run(context).bind(&format!("{SHM}/conf"), "/conf");
    let run = run.shell("touch /ready; while :; do sleep 0.1; done");
    let replace = || {
        let line = format!("echo new >{SHM}/conf.new && mv {SHM}/conf.new {SHM}/conf");
        host.shell(&line).map(drop)
    };
    let parts = ["bound on /conf", "replaced it", "start the container anew"];
    refused(context, run, replace, &parts)?;
    expect(&context.ctr(), "cat /conf", "old")?;
    context.ctr().remove(ID)
}

/// A mount of the container's own of which CRIU does not know how to make it anew.
pub(super) fn own_kind(context: &Context) -> Result<()> {
    let run = run(context)
        .shell("mkdir /own; mount -t ramfs own /own; touch /ready; while :; do sleep 0.1; done");
    let parts = ["at /own", "(ramfs)", "unmount it"];
    refused(context, run, || Ok(()), &parts)?;
    let ctr = context.ctr();
    expect(&ctr, "umount /own", "")?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// The host's own directories: what is the container's goes along, and nothing else is touched.
pub(super) fn of_the_system(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "mkdir -p /host/run/remap-binds/shm; exec 3<>/host/run/remap-binds/shm/held; \
                            echo held >&3; exec 4</host/dev/null; touch /ready; \
                            while :; do sleep 0.1; done";
    const LOOK: &str = "cat /proc/1/fd/3; \
                        [ /proc/1/fd/3 -ef /host/run/remap-binds/shm/held ] && echo same; \
                        [ /proc/1/fd/4 -ef /host/dev/null ] && echo same";
    let _directories = directories(context)?;
    let mut run = run(context);
    for (source, options) in [
        ("/run", "bind:rw"),
        ("/dev", "rbind:rw"),
        ("/sys/fs/cgroup", "rbind:rw"),
    ] {
        run = run.mount(&format!(
            "type=bind,src={source},dst=/host{source},options={options}"
        ));
    }
    let list = "cd /sys/fs/cgroup && find . -maxdepth 1 -printf '%p %i %T@\\n' | sort; ls -i /dev";
    let before = context.b().shell(list)?;
    moves(context, run.shell(WORKLOAD), LOOK, "held\nsame\nsame")?;
    let after = context.b().shell(list)?;
    ensure!(
        after.text() == before.text(),
        "{} became {}",
        before.text(),
        after.text()
    );
    context.ctr_on_b().remove(ID)
}

/// A checkpoint after what `before` does is refused, with each of `parts`, and nothing is changed.
fn refused(
    context: &Context,
    run: Run<'_>,
    before: impl Fn() -> Result<()>,
    parts: &[&str],
) -> Result<()> {
    start(context, run, before)?;
    refused_again(context, parts)
}

fn refused_again(context: &Context, parts: &[&str]) -> Result<()> {
    let ctr = context.ctr();
    let error = ctr.checkpoint(ID, IMAGE).err();
    let error = error.context("it is not refused")?.to_string();
    for part in ["phase plan"].iter().chain(parts) {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    Ok(())
}

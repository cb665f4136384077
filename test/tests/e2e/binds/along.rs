//! Mounts that come along with a bind, from below its source on the host: the runtime does not tell
//! CRIU of them, so that the stock shim makes copies of them, or fails.

use anyhow::{Context as _, Result, ensure};
use remap_test::Host;
use remap_test::image::BUSYBOX_IMAGE;

use super::{ID, IMAGE, moves, start};
use crate::context::Context;

/// The source of the bind on either host, a tmpfs.
const DIR: &str = "/run/remap-along";

/// A tmpfs with another in it, one that nobody uses, a directory of the disk, and a tmpfs that the
/// container mounts itself.
pub(super) fn nested(context: &Context) -> Result<()> {
    const ON_HOST: &str = "mkdir in disk unused own && mount -t tmpfs in in && mkdir in/deep && \
                           mount -t tmpfs deep in/deep && mount -t tmpfs unused unused && \
                           mkdir -p /srv/along && echo disk >/srv/along/file && \
                           mount --bind /srv/along disk";
    const WORKLOAD: &str = "cd /data; mount -t tmpfs own own; echo own >own/file; \
                            exec 3<>own/held; echo held >&3; \
                            exec 4<>in/deep/first; echo deep >&4; \
                            ln in/deep/first in/deep/second; rm in/deep/first; \
                            echo middle >in/file; exec 5<>in/file; exec 6<disk/file; echo top >top; \
                            cd /; touch /ready; while :; do sleep 0.1; done";
    const LOOK: &str = "cd /data; cat own/file own/held in/deep/second in/file disk/file top; \
                        for f in 3:own/held 4:in/deep/second 5:in/file 6:disk/file; do \
                        [ /proc/1/fd/${f%%:*} -ef ${f#*:} ] && echo same; done; \
                        stat -c %h in/deep/second; ls . in in/deep unused";
    let expected = "own\nheld\ndeep\nmiddle\ndisk\ntop\nsame\nsame\nsame\nsame\n1\n\
                    .:\ndisk\nin\nown\ntop\nunused\n\nin:\ndeep\nfile\n\nin/deep:\nsecond\n\nunused:";
    let (a, b) = (context.a(), context.b());
    let _mounts = [
        Mounts::make(a, "private", ON_HOST)?,
        Mounts::make(b, "private", ON_HOST)?,
    ];
    b.shell(&format!("echo old >{DIR}/in/old"))?;
    let run = context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID);
    let run = run.flag(["--privileged"]).bind(DIR, "/data");
    moves(context, run.shell(WORKLOAD), LOOK, expected)?;
    // It is the host's own tmpfs that has it.
    let on_host = b.shell(&format!("cat {DIR}/in/deep/second {DIR}/in/file"))?;
    let on_host = on_host.text();
    ensure!(on_host == "deep\nmiddle", "host b has {on_host:?}");
    context.ctr_on_b().remove(ID)
}

/// A tmpfs of which the root is not as new ones are, with a part of it and a single file of that bound
/// beside it.
pub(super) fn options(context: &Context) -> Result<()> {
    const ON_A: &str = "mount -o remount,noexec,nosuid,size=4m . && chown 1000:1000 . && chmod 1750 . && \
                        mkdir sub && echo conf >sub/conf";
    const WORKLOAD: &str = "exec 3<>/conf; echo more >&3; exec 4<>/sub/conf; touch /ready; \
                            while :; do sleep 0.1; done";
    const LOOK: &str = "stat -c '%a %u:%g' /data; cat /data/sub/conf; \
                        for f in /conf /sub/conf /data/sub/conf /proc/1/fd/4; do \
                        [ /proc/1/fd/3 -ef $f ] && echo same; done";
    let (a, b) = (context.a(), context.b());
    let _mounts = [
        Mounts::make(a, "private", ON_A)?,
        Mounts::make(b, "private", "mkdir sub && echo other >sub/conf")?,
    ];
    let run = context
        .ctr()
        .run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind(DIR, "/data")
        .bind(&format!("{DIR}/sub"), "/sub")
        .bind(&format!("{DIR}/sub/conf"), "/conf");
    let expected = "1750 1000:1000\nmore\nsame\nsame\nsame\nsame";
    moves(context, run.shell(WORKLOAD), LOOK, expected)?;
    context.ctr_on_b().remove(ID)
}

/// A host's mount that comes after the container's start, by propagation: files on it go along, and
/// later ones come to the restored container, too.
pub(super) fn propagated(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "while [ ! -e /data/late/come ]; do sleep 0.1; done; \
                            exec 3<>/data/late/held; echo held >&3; \
                            touch /ready; while :; do sleep 0.1; done";
    const MOUNT: &str = "mount -t tmpfs late late && touch late/come";
    let (a, b) = (context.a(), context.b());
    let _mounts = [
        Mounts::make(a, "shared", "mkdir late later")?,
        Mounts::make(b, "shared", &format!("mkdir late later && {MOUNT}"))?,
    ];
    let run = context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID);
    let mount = format!("type=bind,src={DIR},dst=/data,options=rbind:rslave:rw");
    let run = run.mount(&mount).shell(WORKLOAD);
    let after_start = || a.shell(&format!("cd {DIR} && {MOUNT}")).map(drop);
    let look = "cat /data/late/held; [ /proc/1/fd/3 -ef /data/late/held ] && echo same";
    if !context.runtime().is_ours() {
        start(context, run, after_start)?;
        let error = context.ctr().checkpoint(ID, IMAGE).err();
        let error = error.context("the stock shim can dump it")?.to_string();
        ensure!(error.contains("criu failed"), "{error}");
        return context.ctr().remove(ID);
    }
    super::moves_after(context, run, after_start, look, "held\nsame")?;
    let on_host = b.shell(&format!("cat {DIR}/late/held"))?;
    ensure!(on_host.text() == "held", "host b has {on_host:?}");
    b.shell(&format!("mount -t tmpfs later {DIR}/later"))?;
    super::expect(
        &context.ctr_on_b(),
        "grep -c ' /data/later ' /proc/self/mountinfo",
        "1",
    )?;
    context.ctr_on_b().remove(ID)
}

/// What a container has from below a bind stays one with what the host has, and stays there. Of the
/// stock shim it is shown that neither does.
pub(super) fn stays_the_hosts(context: &Context) -> Result<()> {
    const DISK: &str = "/srv/remap-along";
    let (ctr, host) = (context.ctr(), context.a());
    host.shell(&format!("mkdir -p {DISK}"))?;
    let _mounts = Mounts::at(
        host,
        DISK,
        "mount --bind . . && cd $PWD && mount --make-shared . && mkdir -p in && mount -t tmpfs in in",
    )?;
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, ID);
    // With any other propagation the stock shim does not even dump it.
    let mount = format!("type=bind,src={DISK},dst=/data,options=rbind:rprivate:rw");
    let run = run.mount(&mount);
    let workload = "echo one >/data/in/file; touch /ready; while :; do sleep 0.1; done";
    start(context, run.shell(workload), || Ok(()))?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    let ours = context.runtime().is_ours();
    let mounts = host.shell(&format!(
        "grep -c ' {DISK}/in ' /proc/self/mountinfo || true"
    ))?;
    let stays = mounts.text() == "1";
    ensure!(stays == ours, "the host has {} mounts there", mounts.text());
    host.shell(&format!("echo two >>{DISK}/in/file"))?;
    let seen = ctr.exec(ID, &["cat", "/data/in/file"])?.ok()?;
    let is_one = seen.text() == "one\ntwo";
    ensure!(is_one == ours, "the container sees {:?}", seen.text());
    ctr.remove(ID)
}

/// Mounts of a host below a directory, gone when this is dropped.
struct Mounts<'h> {
    host: &'h Host,
    dir: &'static str,
}

impl<'h> Mounts<'h> {
    /// A tmpfs of its own with this propagation, on which `more` is done.
    fn make(host: &'h Host, propagation: &str, more: &str) -> Result<Self> {
        host.shell(&format!("mkdir -p {DIR}"))?;
        let tmpfs =
            format!("mount -t tmpfs along {DIR} && cd {DIR} && mount --make-{propagation} {DIR}");
        Self::at(host, DIR, &format!("{tmpfs} && {more}"))
    }

    /// What `line` makes in the directory `dir`.
    fn at(host: &'h Host, dir: &'static str, line: &str) -> Result<Self> {
        let mounts = Self { host, dir };
        host.shell(&format!("cd {dir} && {line}"))?;
        Ok(mounts)
    }
}

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        let dir = self.dir;
        let line = format!("while umount -R -l {dir} 2>/dev/null; do :; done; rm -r {dir}");
        if let Err(error) = self.host.shell(&line) {
            eprintln!("{error:#}");
        }
    }
}

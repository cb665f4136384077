//! Files whose opened name is gone while another lives, on the root and on a volume: CRIU's name
//! for them is on no copy of these, and is made again from the one that lives. And files of the
//! image that were deleted or replaced, of which an overlay only says that a name lives.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Host, Runtime, wait};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("linked::moves", moves).runtimes(REMAP),
    Scenario::new("linked::stock", stock).runtimes(&[Runtime::Stock]),
    Scenario::new("linked::unlike", unlike).runtimes(REMAP),
    Scenario::new("linked::failed_restore", failed_restore).runtimes(REMAP),
    Scenario::new("linked::exit", exit).runtimes(&[Runtime::DropIn]),
    Scenario::new("linked::exit_moves", exit_moves).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("linked::hidden", hidden).runtimes(REMAP),
    Scenario::new("linked::of_the_image", of_the_image).runtimes(REMAP),
    Scenario::new("linked::of_the_image_stock", of_the_image_stock).runtimes(&[Runtime::Stock]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const ID: &str = "linked";

const IMAGE: &str = "remap.test/linked:1";

const LIMIT: Duration = Duration::from_secs(60);

/// Where the host has the container's volume, which is bound on `/vol`.
const VOLUME: &str = "/srv/linked-volume";

/// Begins a workload: `gone N OPENED KEPT` opens a new file as descriptor N, and keeps only the
/// name KEPT.
const GONE: &str = "gone() { eval \"exec $1<>$2\"; echo $2 >&$1; ln $2 $3; rm $2; }; ";

/// Ends it.
const WAIT: &str = "touch /ready; while :; do sleep 0.1; done";

/// Begins a look: `same N NAME` says that descriptor N is the file NAME, of how many names, and
/// its contents.
const SAME: &str = "same() { f=/proc/1/fd/$1; [ $(stat -L -c %i $f) = $(stat -c %i $2) ] && \
                    echo $1 same $(stat -c %h $2) $(cat $2); }; ";

/// On the root: a file, one whose directory is gone too, one that is held by two names that are
/// gone, one whose name another file has now, and one of the image. On the volume: a file and a
/// FIFO.
const ROOT_AND_VOLUME: &str = "mkdir -p /place/d; gone 3 /place/first /place/lives; \
    gone 4 /place/d/deep /place/up; rmdir /place/d; \
    exec 5<>/place/one; echo twice >&5; ln /place/one /place/two; exec 6<>/place/two; \
    ln /place/one /place/three; rm /place/one /place/two; \
    gone 7 /place/name /place/old; echo new >/place/name; \
    exec 8</etc/group; ln /etc/group /etc/kept; rm /etc/group; \
    gone 9 /vol/first /vol/lives; ";

/// See [`ROOT_AND_VOLUME`].
const LOOK: &str = "same 3 /place/lives; same 4 /place/up; same 5 /place/three; same 6 /place/three; \
                    same 7 /place/old; cat /place/name; same 8 /etc/kept; same 9 /vol/lives; \
                    ls /place /vol; ls /etc | grep -v resolv";

fn start<'c>(context: &Context<'c>, workload: &str) -> Run<'c> {
    let run = context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID);
    run.bind(VOLUME, "/vol")
        .shell(&format!("{GONE}{workload}{WAIT}"))
}

fn wait_until_ready(ctr: &Ctr) -> Result<()> {
    let ready = || Ok(ctr.exec(ID, &["test", "-e", "/ready"])?.status.success());
    ensure!(wait::until(LIMIT, ready)?, "it does not get ready");
    Ok(())
}

/// What `look` says in the container.
fn look(ctr: &Ctr, look: &str) -> Result<String> {
    let line = format!("{SAME}{look}");
    let output = ctr.exec(ID, &["sh", "-c", &line])?.ok()?;
    Ok(output.text().into_owned())
}

fn expect(ctr: &Ctr, line: &str, expected: &str) -> Result<()> {
    let seen = look(ctr, line)?;
    ensure!(seen == expected, "there was\n{expected}\nand is\n{seen}");
    Ok(())
}

/// There and back, with the root's layer and a copy of the volume.
fn moves(context: &Context) -> Result<()> {
    there_and_back(context, false)
}

/// The same by checkpoints that end the container.
fn exit_moves(context: &Context) -> Result<()> {
    there_and_back(context, true)
}

fn there_and_back(context: &Context, exit: bool) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let _volumes = [Volume::make(context.a())?, Volume::make(context.b())?];
    let run = start(context, ROOT_AND_VOLUME);
    run.annotation("io.remap.exit", &exit.to_string()).start()?;
    wait_until_ready(&a)?;
    let before = look(&a, LOOK)?;
    let held = before.lines().filter(|line| line.contains(" same "));
    ensure!(held.count() == 7, "it is not set up: {before}");
    ensure!(!before.contains("link_remap"), "there is {before}");
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.checkpoint(ID, IMAGE)?;
        if exit {
            from.wait_for(ID, &Status::Stopped, LIMIT)?;
            expect_no_links(from.host())?;
        } else {
            expect(from, LOOK, &before).context("after the dump")?;
        }
        move_to(context, &dir, from, to, &before)?;
    }
    a.remove(ID)
}

/// Moves the container, of which there is a checkpoint, and its volume; on the other host all is as
/// `before`.
fn move_to(context: &Context, dir: &str, from: &Ctr, to: &Ctr, before: &str) -> Result<()> {
    let [image, volume] = ["checkpoint.tar", "volume.tar"].map(|name| format!("{dir}/{name}"));
    from.remove(ID)?;
    from.export_checkpoint(IMAGE, &image)?;
    from.remove_image(IMAGE)?;
    from.host()
        .shell(&format!("tar -C {VOLUME} -cf {volume} ."))?;
    for file in [&image, &volume] {
        context
            .link()
            .copy_file(from.host(), file, to.host(), file)?;
    }
    to.host().shell(&format!(
        "find {VOLUME} -mindepth 1 -delete; tar -C {VOLUME} -xf {volume}"
    ))?;
    to.import_checkpoint(&image)?;
    to.restore(ID, IMAGE)?;
    to.remove_image(IMAGE)?;
    expect(to, LOOK, before).context("on the other host")?;
    expect_no_links(to.host())
}

/// With the stock shim there is no such name at the restore, whatever CRIU is told.
fn stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let _volume = Volume::make(context.a())?;
    for workload in [
        "mkdir /place; gone 3 /place/first /place/lives; ",
        "gone 3 /vol/first /vol/lives; ",
    ] {
        start(context, workload).start()?;
        wait_until_ready(&ctr)?;
        let refused = ctr.checkpoint(ID, IMAGE);
        ensure!(refused.is_err(), "the dump succeeds without link-remap");
        let _conf = CriuConf::write(context.a(), "link-remap\n")?;
        ctr.checkpoint(ID, IMAGE)?;
        ctr.remove(ID)?;
        ensure!(ctr.restore(ID, IMAGE).is_err(), "the restore succeeds");
        let log = format!("{}/{RESTORE_LOG}", bundle());
        let log = context.a().shell(&format!("cat {log}"))?;
        ensure!(
            log.text().contains("/link_remap."),
            "it fails by something else:\n{}",
            log.text()
        );
        ctr.remove(ID)?;
        ctr.remove_image(IMAGE)?;
        context
            .a()
            .shell(&format!("find {VOLUME} -mindepth 1 -delete"))?;
    }
    Ok(())
}

/// A target that has not the same files is refused before anything is touched.
fn unlike(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let _volume = Volume::make(context.a())?;
    let workload = "mkdir /place; gone 3 /place/first /place/lives; gone 4 /vol/first /vol/lives; ";
    let line = "same 3 /place/lives; same 4 /vol/lives; ls /place /vol";
    start(context, workload).start()?;
    wait_until_ready(&ctr)?;
    let before = look(&ctr, line)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;

    let without_layer = ["container", "restore", "--live", ID, IMAGE];
    refused(&ctr, &without_layer, &["place/lives", "--rw"])?;
    let host = context.a();
    let restore = ["container", "restore", "--rw", "--live", ID, IMAGE];
    for (change, parts) in [
        ("mv lives kept", ["vol", "\"lives\"", "the same files"]),
        (
            "echo more >>lives",
            ["bytes", "\"lives\"", "the same files"],
        ),
        ("chmod 700 lives", ["mode", "\"lives\"", "the same files"]),
        (
            "rm lives; ln -s kept lives",
            ["mode", "\"lives\"", "the same files"],
        ),
    ] {
        host.shell(&format!(
            "cd {VOLUME} && cp -a lives /srv/linked-kept && {change}"
        ))?;
        let names = host.shell(&format!("ls -i {VOLUME}"))?;
        refused(&ctr, &restore, &parts).with_context(|| change)?;
        let now = host.shell(&format!("ls -i {VOLUME}"))?;
        ensure!(names.text() == now.text(), "there is now {}", now.text());
        host.shell(&format!(
            "cd {VOLUME} && rm -f lives kept && mv /srv/linked-kept lives"
        ))?;
    }

    ctr.restore(ID, IMAGE)?;
    expect(&ctr, line, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// The restore fails in the phase fit, and says `parts`; the container is removed.
fn refused(ctr: &Ctr, restore: &[&str], parts: &[&str]) -> Result<()> {
    let restore = ctr.command(restore).run()?;
    let said = restore.error_text();
    ensure!(restore.exit_code() != 0, "the restore succeeds");
    for part in ["phase fit"].iter().chain(parts) {
        ensure!(said.contains(part), "no {part:?} in {said:?}");
    }
    ctr.remove(ID)
}

/// CRIU fails for another reason: the name that was made for it goes.
fn failed_restore(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let host = context.a();
    let _volume = Volume::make(host)?;
    let workload = "gone 3 /vol/first /vol/lives; exec 4<>/vol/named; ";
    let line = "same 3 /vol/lives; same 4 /vol/named; ls /vol";
    start(context, workload).start()?;
    wait_until_ready(&ctr)?;
    let before = look(&ctr, line)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    expect_no_links(host)?;

    host.shell(&format!("mv {VOLUME}/named /srv/linked-named"))?;
    let restore = ctr.restore(ID, IMAGE);
    let error = format!("{:#}", restore.err().context("the restore succeeds")?);
    ensure!(error.contains("phase restore"), "not by CRIU: {error}");
    let left = host.shell(&format!("ls {VOLUME}"))?;
    ensure!(left.text() == "lives", "there is {}", left.text());
    ctr.remove(ID)?;

    host.shell(&format!("mv /srv/linked-named {VOLUME}/named"))?;
    ctr.restore(ID, IMAGE)?;
    expect(&ctr, line, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// A dump that ends the container leaves no name either, and the manifest has what is needed.
fn exit(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let host = context.a();
    let images = format!("{}/images", context.dir()?);
    let _volume = Volume::make(host)?;
    let workload = "mkdir /place; gone 3 /place/first /place/lives; gone 4 /vol/first /vol/lives; ";
    start(context, workload).start()?;
    wait_until_ready(&ctr)?;
    ctr.checkpoint_task(ID, &images, &format!("{images}-work"), true)?;
    ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
    expect_no_links(host)?;
    let left = host.shell(&format!("ls {}/rootfs/place {VOLUME}", bundle()))?;
    ensure!(!left.text().contains("link_remap"), "{}", left.text());
    let manifest = host.read_file(&format!("{images}/remap-manifest.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let links = manifest["links"].as_array().context("no links")?;
    let survivors: Vec<_> = links
        .iter()
        .filter_map(|it| it["survivor"].as_str())
        .collect();
    ensure!(survivors == ["place/lives", "lives"], "{manifest}");
    ctr.remove(ID)
}

/// Where the container sees no other name the checkpoint is refused.
fn hidden(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let host = context.a();
    let _volume = Volume::make(host)?;
    host.shell(&format!("mkdir {VOLUME}/inner"))?;
    let run = context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID);
    let workload = "exec 3<>/vol/first; touch /ready; while :; do sleep 0.1; done";
    run.bind(&format!("{VOLUME}/inner"), "/vol")
        .shell(workload)
        .start()?;
    wait_until_ready(&ctr)?;
    host.shell(&format!(
        "cd {VOLUME} && ln inner/first outside && rm inner/first"
    ))?;
    let error = format!("{:#}", ctr.checkpoint(ID, IMAGE).err().context("it works")?);
    for part in ["phase plan", "sees no other name", "/vol"] {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    host.shell(&format!("cd {VOLUME} && ln outside inner/back"))?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove_image(IMAGE)?;
    ctr.remove(ID)
}

/// As an upgrade does it: the program that runs and a file that is open are replaced, another one
/// is deleted. No layer has them any more under these names.
const UPGRADE: &str = "exec 3</etc/passwd; cp /etc/passwd /etc/new; echo more >>/etc/new; \
    mv /etc/new /etc/passwd; exec 4</etc/group; rm /etc/group; \
    p=$(readlink /proc/1/exe); cp -p $p $p.new; mv $p.new $p; ";

/// What they are now.
const UPGRADED: &str = "md5sum </proc/1/fd/3; md5sum </proc/1/fd/4; md5sum </proc/1/exe; \
    md5sum </etc/passwd; stat -L -c %h /proc/1/fd/3; ls /etc | grep -v resolv; ls /usr/bin | grep busy";

fn of_the_image(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let _volume = Volume::make(context.a())?;
    start(context, UPGRADE).start()?;
    wait_until_ready(&ctr)?;
    let sums = |ctr: &Ctr| -> Result<String> {
        // Before, an overlay counts the names in its lower layer.
        let text = look(ctr, UPGRADED)?;
        Ok(text
            .lines()
            .filter(|line| line.len() > 1)
            .collect::<Vec<_>>()
            .join("\n"))
    };
    let before = sums(&ctr)?;
    for _ in 0..2 {
        ctr.checkpoint(ID, IMAGE)?;
        ensure!(sums(&ctr)? == before, "the dump has changed something");
        ctr.remove(ID)?;
        ctr.restore(ID, IMAGE)?;
        ctr.remove_image(IMAGE)?;
        let now = sums(&ctr)?;
        ensure!(now == before, "there was\n{before}\nand is\n{now}");
    }
    ctr.remove(ID)
}

/// The stock shim's dump fails, by a message that leads nowhere.
fn of_the_image_stock(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let _volume = Volume::make(context.a())?;
    start(context, UPGRADE).start()?;
    wait_until_ready(&ctr)?;
    ensure!(ctr.checkpoint(ID, IMAGE).is_err(), "the dump succeeds");
    let log = context
        .a()
        .shell(&format!("cat {}/criu-dump.log", bundle()))?;
    ensure!(
        log.text().contains("Use link-remap option"),
        "it fails by something else:\n{}",
        log.text()
    );
    ctr.remove(ID)
}

/// In the bundle, what CRIU has logged of a restore.
const RESTORE_LOG: &str = "work/restore.log";

/// The bundle of the container.
fn bundle() -> String {
    format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}")
}

/// No name of CRIU's is in the volume, nor in any root.
fn expect_no_links(host: &Host) -> Result<()> {
    let snapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs";
    // Other scenarios remove their snapshots meanwhile, which find takes for a failure.
    let line = format!(
        "find {VOLUME} -name 'link_remap.*' && (find {snapshots} -name 'link_remap.*' || true)"
    );
    let left = host.shell(&line)?;
    ensure!(
        left.text().is_empty(),
        "left on host {}:\n{}",
        host.name(),
        left.text()
    );
    Ok(())
}

/// The volume, gone when this is dropped.
struct Volume<'h>(&'h Host);

impl<'h> Volume<'h> {
    fn make(host: &'h Host) -> Result<Self> {
        host.shell(&format!("mkdir -p {VOLUME}"))?;
        Ok(Self(host))
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.shell(&format!("rm -r {VOLUME}")) {
            eprintln!("{error:#}");
        }
    }
}

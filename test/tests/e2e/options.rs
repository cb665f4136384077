//! The runtime options, by whichever way they come: kept for a restored container, and for the
//! action that clears up after a shim that was killed.

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::shim::Api;
use remap_test::{Ctr, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::workload::LIMIT;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("options::flags", |context| kept(context, flags)).runtimes(&[Runtime::DropIn]),
    Scenario::new("options::annotations", |context| kept(context, annotations)).runtimes(BOTH),
    Scenario::new("options::toml", |context| kept(context, toml)).runtimes(&[Runtime::Remap]),
    Scenario::new("options::uncommon", uncommon).runtimes(&[Runtime::Remap]),
    Scenario::new("options::image_path", image_path).runtimes(&[Runtime::Remap]),
    Scenario::new("options::parent_path", parent_path).runtimes(&[Runtime::Remap]),
    Scenario::new("options::wrong", wrong).runtimes(&[Runtime::Remap]),
    Scenario::new("options::systemd", systemd),
];

const BOTH: &[Runtime] = &[Runtime::Remap, Runtime::DropIn];

const ID: &str = "options";

const IMAGE: &str = "remap.test/options:1";

/// Where runc keeps its state here.
const ROOT: &str = "/srv/runc-root";

/// A runc that notes that it was called.
const BINARY: &str = "/srv/noting-runc";

const NOTES: &str = "/srv/noting-runc.notes";

fn flags(_: &Ctr) -> Result<Vec<String>> {
    Ok(strings(&["--runc-binary", BINARY, "--runc-root", ROOT]))
}

fn annotations(_: &Ctr) -> Result<Vec<String>> {
    let binary = format!("io.remap.runtime-binary={BINARY}");
    let root = format!("io.remap.runtime-root={ROOT}");
    Ok(strings(&["--annotation", &binary, "--annotation", &root]))
}

fn toml(ctr: &Ctr) -> Result<Vec<String>> {
    let text = format!("BinaryName = \"{BINARY}\"\nRoot = \"{ROOT}\"\nSystemdCgroup = false\n");
    as_toml(ctr, &text)
}

/// `runtimeoptions.v1.Options`, as CRI sends it for runtimes of other names.
fn as_toml(ctr: &Ctr, text: &str) -> Result<Vec<String>> {
    const FILE: &str = "/srv/runtime.toml";
    ctr.host().write_file(FILE, text)?;
    Ok(strings(&["--runtime-config-path", FILE]))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The sub-commands for which the program was called since the last time.
fn calls(ctr: &Ctr) -> Result<String> {
    let calls = ctr.host().shell(&format!("cat {NOTES}; : >{NOTES}"))?;
    Ok(calls.text().into_owned())
}

/// What runc knows below [`ROOT`].
fn known(ctr: &Ctr) -> Result<String> {
    let names = ctr.host().shell(&format!("ls {ROOT}/default"))?;
    Ok(names.text().into_owned())
}

/// A life with a checkpoint, and two ends: by the task service, and by the death of the shim.
fn kept(context: &Context, given: fn(&Ctr) -> Result<Vec<String>>) -> Result<()> {
    let ctr = context.ctr();
    let host = ctr.host();
    let script = format!("#!/bin/sh\necho \"$@\" >>{NOTES}\nexec runc \"$@\"\n");
    host.write_file(BINARY, script)?;
    host.shell(&format!(
        "chmod 755 {BINARY} && rm -rf {ROOT} && : >{NOTES}"
    ))?;
    let line = "while :; do sleep 0.2; done";
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .flag(given(&ctr)?)
        .shell(line)
        .start()?;
    ensure!(known(&ctr)? == ID, "runc knows {:?}", known(&ctr)?);
    ensure!(ctr.exec(ID, &["true"])?.exit_code() == 0, "no exec");
    ctr.checkpoint(ID, IMAGE)?;
    let called = calls(&ctr)?;
    for part in ["create", "start", "exec", "pause", "checkpoint", "resume"] {
        ensure!(
            called.contains(&format!(" {part} ")),
            "no {part} in {called}"
        );
    }
    ctr.remove(ID)?;
    ensure!(known(&ctr)?.is_empty(), "runc knows {:?}", known(&ctr)?);

    calls(&ctr)?;
    ctr.restore(ID, IMAGE)?;
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    ensure!(known(&ctr)? == ID, "runc knows {:?}", known(&ctr)?);
    let called = calls(&ctr)?;
    ensure!(called.contains(" restore "), "{called}");

    // containerd has the action `delete` done.
    let pid = ctr.wait_for(ID, &Status::Running, LIMIT)?.pid;
    host.shell(&format!(
        "kill -KILL $(awk '/^PPid:/ {{ print $2 }}' /proc/{pid}/status)"
    ))?;
    let gone = || Ok(known(&ctr)?.is_empty());
    ensure!(wait::until(LIMIT, gone)?, "runc knows {:?}", known(&ctr)?);
    let called = calls(&ctr)?;
    ensure!(called.contains(" delete --force "), "{called}");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Options that `ctr` has no flags for, before and after a restore.
fn uncommon(context: &Context) -> Result<()> {
    const CGROUP: &str = "/options-of-a-shim";
    const WORK: &str = "/srv/criu-work";
    let ctr = context.ctr();
    let host = ctr.host();
    host.shell(&format!("rm -rf {WORK}"))?;
    let text = format!(
        "IoUid = 1000\nIoGid = 1001\nShimCgroup = \"{CGROUP}\"\nCriuWorkPath = \"{WORK}\"\n"
    );
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .flag(as_toml(&ctr, &text)?)
        .shell("while :; do sleep 0.2; done")
        .start()?;
    let expect = |when: &str| -> Result<()> {
        let pid = ctr.wait_for(ID, &Status::Running, LIMIT)?.pid;
        let shim = format!("/proc/$(awk '/^PPid:/ {{ print $2 }}' /proc/{pid}/status)/cgroup");
        let cgroups = host.shell(&format!("cat {shim}"))?;
        ensure!(cgroups.text().contains(CGROUP), "{when}: {cgroups:?}");
        let owner = ctr.exec(ID, &["stat", "-L", "-c", "%u:%g", "/proc/self/fd/1"])?;
        // runc gives the pipes to the process's user (`fixStdioPermissions`), and leaves the group.
        ensure!(owner.text() == "0:1001", "{when}: {owner:?}");
        Ok(())
    };
    expect("at first")?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    expect("restored")?;
    let log = host.shell(&format!("ls {WORK}/restore.log"))?;
    ensure!(log.text().contains("restore.log"), "{log:?}");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)?;
    host.shell(&format!(
        "find /sys/fs/cgroup -depth -path '*{CGROUP}*' -type d -exec rmdir {{}} +"
    ))?;
    Ok(())
}

/// A directory of images in the options: the container is restored from it.
fn image_path(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let images = format!("{dir}/images");
    start_counter(context)?;
    Api::connect(context.a(), ID)?.checkpoint(&images, &format!("{dir}/work"), false)?;
    ctr.remove(ID)?;
    restore_counter(context, &images)?;
    ctr.remove(ID)
}

/// A checkpoint of what was written since an earlier one, where the kernel tells (it does in the
/// virtual machines); else CRIU says that it does not, the container goes on, and of the second
/// checkpoint nothing stays.
fn parent_path(context: &Context) -> Result<()> {
    let (ctr, host) = (context.ctr(), context.a());
    let dir = context.dir()?;
    let [first, second, work] = ["first", "second", "work"].map(|name| format!("{dir}/{name}"));
    start_counter(context)?;
    let api = Api::connect(host, ID)?;
    api.checkpoint(&first, &work, false)?;
    let result = api.checkpoint_upon("../first", &second, &work);
    let tracks = host
        .command("criu")
        .args(["check", "--feature", "mem_dirty_track"]);
    if tracks.run()?.status.success() {
        result?;
        let pages = |images: &str| -> Result<u64> {
            let line = format!("cat {images}/pages-*.img | wc -c");
            Ok(host.shell(&line)?.text().trim().parse()?)
        };
        let (whole, since) = (pages(&first)?, pages(&second)?);
        ensure!(since < whole, "{since} of {whole} bytes were written since");
        ctr.remove(ID)?;
        restore_counter(context, &second)?;
    } else {
        let error = result.err().context("it was checkpointed")?;
        let error = format!("{error:#}");
        ensure!(error.contains("CONFIG_MEM_SOFT_DIRTY"), "{error}");
        let left = host.shell(&format!("ls -A {second} 2>/dev/null || :"))?;
        ensure!(left.text().is_empty(), "{left:?}");
        let before = count(&ctr)?;
        let goes_on = || Ok(count(&ctr)? > before);
        ensure!(wait::until(LIMIT, goes_on)?, "it does not count any more");
    }
    ctr.remove(ID)
}

/// Starts a container that counts, and waits until it has begun.
fn start_counter(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let line = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.05; done";
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, ID);
    run.shell(line).start()?;
    let counts = wait::until(LIMIT, || Ok(count(&ctr)? > 20))?;
    ensure!(counts, "it does not count");
    Ok(())
}

fn count(ctr: &Ctr) -> Result<u64> {
    let output = ctr.exec(ID, &["cat", "/count"])?;
    Ok(output.text().trim().parse().unwrap_or_default())
}

/// Restores it from a directory, and sees it go on.
fn restore_counter(context: &Context, images: &str) -> Result<()> {
    let ctr = context.ctr();
    let text = format!("CriuImagePath = \"{images}\"\n");
    // What is run is in the images.
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, ID);
    run.flag(as_toml(&ctr, &text)?).shell("exit 1").start()?;
    let goes_on = || Ok(count(&ctr)? > 20);
    ensure!(wait::until(LIMIT, goes_on)?, "it does not count on");
    Ok(())
}

/// Values that cannot be used are errors which name them, and nothing is left.
fn wrong(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let cases = [
        (
            "io.remap.runtime-binary=bin/crun",
            "io.remap.runtime-binary: \"bin/crun\"",
        ),
        (
            "io.remap.runtime-root=relative",
            "io.remap.runtime-root: \"relative\"",
        ),
        (
            "io.remap.systemd-cgroup=yes",
            "io.remap.systemd-cgroup: \"yes\"",
        ),
    ];
    for (annotation, part) in cases {
        refused(context, &["--annotation", annotation], part)?;
    }
    const FILE: &str = "/srv/runtime.toml";
    ctr.host().write_file(FILE, "SystemdCgroups = true\n")?;
    refused(
        context,
        &["--runtime-config-path", FILE],
        "\"SystemdCgroups\"",
    )
}

fn refused(context: &Context, flags: &[&str], part: &str) -> Result<()> {
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, ID);
    let output = run.flag(flags.iter().copied()).shell("exit 0").output()?;
    ensure!(
        output.exit_code() != 0 && output.error_text().contains(part),
        "no {part:?} in {output:?}"
    );
    ctr.remove(ID)
}

/// There is no systemd here, so all that can be seen is that runc is told to use it.
fn systemd(context: &Context) -> Result<()> {
    let flags: &[&str] = if context.runtime() == Runtime::Remap {
        &["--annotation", "io.remap.systemd-cgroup=true"]
    } else {
        &["--runc-systemd-cgroup"]
    };
    let ctr = context.ctr();
    let output = ctr
        .run(context.runtime(), BUSYBOX_IMAGE, ID)
        .flag(["--cgroup", "machine.slice:ctr:options"])
        .flag(flags.iter().copied())
        .shell("exit 0")
        .output()
        .context("ctr does not run")?;
    let error = output.error_text();
    ensure!(
        output.exit_code() != 0 && error.contains("systemd not running on this host"),
        "{output:?}"
    );
    ctr.remove(ID)
}

//! Kubernetes' CRI, by crictl: the life of a pod's containers, and checkpoints and restores where
//! containerd has them. The `/dev/shm` of a pod is a tmpfs of the host that CRI mounts, and that the
//! pod's first container has, too, which does nothing.

mod other_network;
mod streams;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use remap_test::exec::Output;
use remap_test::image::{self, BUSYBOX_IMAGE, WORKLOAD_DIR};
use remap_test::{Cli as _, Cri, Flavour, Host, PodContainer, PodNetwork, Registry, Runtime, wait};
use serde_json::Value;

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::pod::{self, MEMBERS};
use crate::scenario::Scenario;
use crate::stock::{self, HELPFUL};
use crate::workload::{self, LIMIT, Probe};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("cri::lives", lives).flavours(&Flavour::ALL),
    Scenario::new("cri::streams", streams::all).flavours(&Flavour::ALL),
    Scenario::new("cri::installed", installed).runtimes(&[Runtime::Remap]),
    Scenario::new("cri::alone", alone)
        .runtimes(&[Runtime::DropIn])
        .flavours(&Flavour::ALL),
    Scenario::new("cri::other_network", other_network::refused)
        .runtimes(&[Runtime::DropIn])
        .flavours(RESTORES),
    Scenario::new("cri::other_network", other_network::stock)
        .runtimes(&[Runtime::Stock])
        .flavours(&[Flavour::Forky]),
    Scenario::new("cri::alone", alone)
        .runtimes(&[Runtime::Remap])
        .full(),
    Scenario::new("cri::alone", alone_stock)
        .runtimes(&[Runtime::Stock])
        .flavours(RESTORES),
    Scenario::new("cri::together", together)
        .runtimes(&[Runtime::DropIn])
        .flavours(&Flavour::ALL),
];

/// Those whose containerd checkpoints and restores by CRI.
const RESTORES: &[Flavour] = &[Flavour::Forky, Flavour::Forky23];

/// The handler of the configuration that containerd comes with.
const DEFAULT: &str = "runc";

/// The stock shim's name, with the path of ours.
const BY_PATH: &str = "by-path";

/// Our own name.
const OWN_TYPE: &str = "own-type";

const WORKLOAD: &str = "sem-creator-first";

const PAUSE_ARCHIVE: &str = "/srv/pause.tar";
const BUSYBOX_ARCHIVE: &str = "/srv/busybox.tar";
const PYTHON_ARCHIVE: &str = "/srv/python.tar";

/// The Python image under a name by which it can be pulled: a restore pulls what a checkpoint is
/// based on, also if it is there.
const PULLED: &str = "127.0.0.1:5000/python:1";
const PORT: u16 = 5000;

/// Has the containerd of `host` speak CRI.
fn start<'h>(context: &Context<'h>, host: &'h Host, images: &[&str]) -> Result<Cri<'h>> {
    image::pause(context.tree().root(), &host.path(PAUSE_ARCHIVE))?;
    let images = [&[PAUSE_ARCHIVE], images].concat();
    Cri::start(host, context.runtime().lookup(), &images)
}

/// The handlers that lead to the shim of `runtime`.
fn handlers(runtime: Runtime) -> &'static [&'static str] {
    match runtime {
        Runtime::Stock | Runtime::DropIn => &[DEFAULT],
        Runtime::Remap => &[BY_PATH, OWN_TYPE],
    }
}

/// The life of a pod with one container.
fn lives(context: &Context) -> Result<()> {
    let cri = start(context, context.a(), &[BUSYBOX_ARCHIVE])?;
    for handler in handlers(context.runtime()) {
        lives_by(&cri, context.runtime(), handler).with_context(|| format!("by {handler}"))?;
    }
    cri.end()
}

fn lives_by(cri: &Cri, runtime: Runtime, handler: &str) -> Result<()> {
    let pod = cri.run_pod(handler, PodNetwork::Own)?;
    let line = "trap 'exit 3' TERM; echo out; echo err >&2; while :; do sleep 0.1; done";
    let id = cri.run(&pod, &member(CLIENT, BUSYBOX_IMAGE, &["sh", "-c", line]))?;
    expect_shim(cri.host(), runtime)?;

    let mut logs = String::new();
    let complete = || {
        let output = cri.command(["logs", &id]).check()?;
        logs = format!("{output:?}");
        Ok(output.text() == "out" && output.error_text() == "err")
    };
    ensure!(wait::until(LIMIT, complete)?, "the logs are {logs}");
    // crictl's own exit code is another.
    let output = cri.exec(&id, &["echo", "hello"])?;
    ensure!(output.text() == "hello", "{output:?}");
    let output = cri.exec(&id, &["sh", "-c", "exit 5"])?;
    ensure!(output.error_text().contains("exited with 5"), "{output:?}");
    expect_stats(cri, &id)?;
    let pods = cri.check(["statsp", "--output", "json", "--id", &pod])?;
    ensure!(pods.contains("workingSetBytes"), "those of the pod {pods}");
    cri.check(["update", "--cpu-share", "512", &id])?;

    stop(cri, &id, 3)?;
    cri.check(["rm", &id])?;
    cri.check(["stopp", &pod])?;
    cri.check(["rmp", &pod])?;
    Ok(())
}

/// By a handler that `remapctl` has added.
fn installed(context: &Context) -> Result<()> {
    let cri = start(context, context.a(), &[BUSYBOX_ARCHIVE])?;
    let remapctl = |line: &str| {
        let command = context.a().command("remapctl");
        command.args(line.split(' ')).check()
    };
    let shim = "/opt/remap/bin/containerd-shim-remap-v2";
    remapctl(&format!(
        "install --as cri --handler added --shim {shim} --yes"
    ))?;
    cri.restart(context.runtime().lookup())?;
    lives_by(&cri, context.runtime(), "added")?;
    remapctl("uninstall --yes")?;
    cri.restart(context.runtime().lookup())?;
    let gone = cri.run_pod("added", PodNetwork::OfHost);
    ensure!(gone.is_err(), "the handler is still there");
    cri.end()
}

/// CRI has figures of the container `id`.
fn expect_stats(cri: &Cri, id: &str) -> Result<()> {
    let mut stats = String::new();
    let counted = || {
        stats = cri.check(["stats", "--output", "json", id])?;
        let json: Value = serde_json::from_str(&stats)?;
        let memory = &json["stats"][0]["memory"]["workingSetBytes"]["value"];
        Ok(memory.as_str().is_some_and(|bytes| bytes != "0"))
    };
    ensure!(wait::until(LIMIT, counted)?, "the figures are {stats}");
    Ok(())
}

/// Stops it; it ends with the exit code `code`.
fn stop(cri: &Cri, id: &str, code: i32) -> Result<()> {
    cri.check(["stop", "--timeout", "20", id])?;
    let json = cri.check(["inspect", "--output", "json", id])?;
    let status = &serde_json::from_str::<Value>(&json)?["status"];
    ensure!(
        status["state"] == "CONTAINER_EXITED" && status["exitCode"] == code,
        "{status}"
    );
    Ok(())
}

/// The shim of the pod's containers is of the runtime.
fn expect_shim(host: &Host, runtime: Runtime) -> Result<()> {
    let shims = host.shell("for exe in /proc/[0-9]*/exe; do readlink $exe; done | grep shim")?;
    let ours = shims.text().contains("/opt/remap/");
    ensure!(ours == runtime.is_ours(), "the shim is {}", shims.text());
    Ok(())
}

/// A pod with one container, which has a semaphore on the pod's `/dev/shm`.
struct Alone {
    pod: String,
    id: String,
    before: Probe,
}

impl Alone {
    fn start(cri: &Cri, handler: &str) -> Result<Self> {
        let pod = cri.run_pod(handler, PodNetwork::Own)?;
        let script = format!("{WORKLOAD_DIR}/scenario.py");
        let args = ["python3", &script, WORKLOAD];
        let id = cri.run(&pod, &member(CLIENT, PULLED, &args))?;
        workload::wait_until_ready_by(|args| cri.exec(&id, args))?;
        let before = probe(cri, &id)?;
        Ok(Self { pod, id, before })
    }
}

const CLIENT: &str = "client";

fn member<'a>(name: &'a str, image: &'a str, args: &'a [&'a str]) -> PodContainer<'a> {
    let stdin = false;
    PodContainer {
        name,
        image,
        args,
        stdin,
    }
}

fn probe(cri: &Cri, id: &str) -> Result<Probe> {
    Probe::ask(WORKLOAD, |args| cri.exec(id, args))
}

/// Has `cri` pull the Python image; for as long as what is returned lives it can do so again.
fn pull(context: &Context, cri: &Cri) -> Result<Registry> {
    context.python()?;
    let registry = Registry::start(cri.host(), PYTHON_ARCHIVE, PORT)?;
    cri.check(["pull", PULLED])?;
    Ok(registry)
}

/// Checkpoints the container `id` into the host's file `archive`; it runs on.
fn checkpoint(cri: &Cri, id: &str, archive: &str) -> Result<Output> {
    cri.command(["checkpoint", &format!("--export={archive}"), id])
        .run()
}

/// `remapctl plan` of the container `id`.
fn plan(cri: &Cri, id: &str) -> Result<Output> {
    let command = cri.host().command("remapctl").args(["plan", "--json"]);
    command.args(["-n", cri.ctr().namespace(), id]).run()
}

/// The class of its `/dev/shm`.
fn class(plan: &Output) -> Result<String> {
    let json: Value = serde_json::from_slice(&plan.stdout)
        .with_context(|| format!("no JSON document: {plan:?}"))?;
    let mounts = json["plan"]["mounts"].as_array().context("no mounts")?;
    let shm = mounts
        .iter()
        .find(|mount| mount["destination"] == "/dev/shm");
    let class = shm.and_then(|mount| mount["class"].as_str());
    Ok(class.context("no /dev/shm")?.to_owned())
}

/// The pod's `/dev/shm` is one container's alone, though the pod's first container has it as well. It
/// moves to a pod on another host where containerd can do that; 1.7 says that it cannot.
fn alone(context: &Context) -> Result<()> {
    let a = start(context, context.a(), &[])?;
    let _registry_a = pull(context, &a)?;
    if !RESTORES.contains(&context.flavour()) {
        for handler in handlers(context.runtime()) {
            let alone = Alone::start(&a, handler)?;
            let plan = plan(&a, &alone.id)?;
            ensure!(plan.status.success(), "{plan:?}");
            ensure!(class(&plan)? == "external_tmpfs_private", "{plan:?}");
            let refused = checkpoint(&a, &alone.id, "/srv/refused.tar")?;
            ensure!(
                refused.error_text().contains("Unimplemented"),
                "{refused:?}"
            );
            alone.before.expect_same(&probe(&a, &alone.id)?)?;
            a.remove_pod(&alone.pod)?;
        }
        return a.end();
    }
    let b = start(context, context.b(), &[])?;
    let _registry_b = pull(context, &b)?;
    let dir = context.dir()?;
    for handler in handlers(context.runtime()) {
        alone_moves(context, &dir, (&a, &b), handler).with_context(|| format!("by {handler}"))?;
    }
    a.end()?;
    b.end()
}

fn alone_moves(context: &Context, dir: &str, (a, b): (&Cri, &Cri), handler: &str) -> Result<()> {
    let archive = format!("{dir}/{handler}.tar");
    let alone = Alone::start(a, handler)?;
    let plan = plan(a, &alone.id)?;
    ensure!(plan.status.success(), "{plan:?}");
    ensure!(class(&plan)? == "external_tmpfs_private", "{plan:?}");
    checkpoint(a, &alone.id, &archive)?.ok()?;
    alone
        .before
        .expect_same(&probe(a, &alone.id)?)
        .context("left running")?;
    a.remove_pod(&alone.pod)?;

    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    let pod = b.run_pod(handler, PodNetwork::Own)?;
    let id = b.run(&pod, &member(CLIENT, &archive, &[]))?;
    alone
        .before
        .expect_same(&probe(b, &id)?)
        .context("restored")?;
    expect_stats(b, &id)?;
    b.remove_pod(&pod)
}

/// The stock shim fails at the checkpoint, and at the restore if CRIU is configured as well as it can
/// be: the new pod's `/dev/shm` is empty. A container that does not use it is restored beside.
fn alone_stock(context: &Context) -> Result<()> {
    let cri = start(context, context.a(), &[])?;
    let _registry = pull(context, &cri)?;
    let dir = context.dir()?;
    let [archive, plain_archive] = [CLIENT, "plain"].map(|name| format!("{dir}/{name}.tar"));
    let alone = Alone::start(&cri, DEFAULT)?;
    let program = ["sh", "-c", "while :; do sleep 0.1; done"];
    let plain = cri.run(&alone.pod, &member("plain", PULLED, &program))?;
    let refused = checkpoint(&cri, &alone.id, &archive)?;
    ensure!(!refused.status.success(), "it is saved");
    stock::expect_in_log_of(
        &cri.ctr(),
        &alone.id,
        "criu-dump.log",
        &["Use link-remap option"],
    )?;
    let conf = CriuConf::write(context.a(), HELPFUL)?;
    checkpoint(&cri, &alone.id, &archive)?.ok()?;
    checkpoint(&cri, &plain, &plain_archive)?.ok()?;
    cri.remove_pod(&alone.pod)?;

    let pod = cri.run_pod(DEFAULT, PodNetwork::Own)?;
    let plain = cri.run(&pod, &member("plain", &plain_archive, &[]))?;
    cri.exec(&plain, &["true"])?.ok()?;
    let id = cri.create(&pod, &member(CLIENT, &archive, &[]))?;
    let restored = cri.command(["start", &id]).run()?;
    ensure!(!restored.status.success(), "it is restored");
    let said = restored.error_text();
    ensure!(said.contains("criu failed"), "{said}");
    drop(conf);
    cri.remove_pod(&pod)?;
    cri.end()
}

/// Both containers of a pod use its `/dev/shm`: neither is saved while the other runs; both are when
/// both are paused. They come back in a pod on another host.
fn together(context: &Context) -> Result<()> {
    let a = start(context, context.a(), &[])?;
    let _registry_a = pull(context, &a)?;
    let pod = a.run_pod(DEFAULT, PodNetwork::OfHost)?;
    let script = pod::script();
    let mut ids = BTreeMap::new();
    for name in MEMBERS {
        let args = ["python3", &script, name];
        ids.insert(name, a.run(&pod, &member(name, PULLED, &args))?);
    }
    pod::expect_rounds_by(|name, args| a.exec(&ids[name], args)).context("in the beginning")?;

    let [creator, user] = MEMBERS;
    let alone = plan(&a, &ids[creator])?;
    ensure!(class(&alone)? == "external_tmpfs_shared", "{alone:?}");
    let remedy = format!("pause {}", ids[user]);
    ensure!(
        alone.exit_code() == 1 && alone.text().contains(&remedy),
        "no {remedy:?} in {alone:?}"
    );
    for id in ids.values() {
        a.ctr().pause(id)?;
    }
    for id in ids.values() {
        let plan = plan(&a, id)?;
        ensure!(plan.status.success(), "{plan:?}");
    }
    if RESTORES.contains(&context.flavour()) {
        together_moves(context, (&a, &pod), &ids)?;
    } else {
        for id in ids.values() {
            a.ctr().resume(id)?;
        }
        pod::expect_rounds_by(|name, args| a.exec(&ids[name], args)).context("resumed")?;
        a.remove_pod(&pod)?;
    }
    a.end()
}

fn together_moves(
    context: &Context,
    (a, pod): (&Cri, &str),
    ids: &BTreeMap<&str, String>,
) -> Result<()> {
    let dir = context.dir()?;
    let archive = |name: &str| format!("{dir}/{name}.tar");
    for (name, id) in ids {
        checkpoint(a, id, &archive(name))?.ok()?;
    }
    a.remove_pod(pod)?;

    let b = start(context, context.b(), &[])?;
    let _registry = pull(context, &b)?;
    let pod = b.run_pod(DEFAULT, PodNetwork::OfHost)?;
    let mut ids = BTreeMap::new();
    for name in MEMBERS {
        let path = archive(name);
        context.link().copy_file(a.host(), &path, b.host(), &path)?;
        ids.insert(name, b.run(&pod, &member(name, &path, &[]))?);
    }
    pod::expect_rounds_by(|name, args| b.exec(&ids[name], args)).context("restored")?;
    b.remove_pod(&pod)?;
    b.end()
}

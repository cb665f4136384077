//! nerdctl: the life of a container, networks, and checkpoints with a `/dev/shm` that is the host's.

use anyhow::{Context as _, Result, ensure};
use remap_test::image::{BUSYBOX_IMAGE, PYTHON_IMAGE, WORKLOAD_DIR};
use remap_test::{Cli as _, Flavour, Nerdctl, Runtime, wait};

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::pod::{self, MEMBERS};
use crate::scenario::Scenario;
use crate::stock::{self, HELPFUL};
use crate::workload::{self, LIMIT, Probe};

/// See [`crate::SCENARIOS`]. nerdctl lets a container end with its checkpoint only under the stock
/// shim's name; under another the container's annotation says so.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("nerdctl::lives", lives).runtimes(DROP_IN),
    Scenario::new("nerdctl::network", network).runtimes(DROP_IN),
    Scenario::new("nerdctl::network", network)
        .runtimes(STOCK)
        .full(),
    Scenario::new("nerdctl::shareable", shareable).runtimes(DROP_IN),
    Scenario::new("nerdctl::shareable", shareable_by_annotation)
        .runtimes(&[Runtime::Remap])
        .full(),
    Scenario::new("nerdctl::shareable", shareable_stock).runtimes(STOCK),
    Scenario::new("nerdctl::container", container).runtimes(DROP_IN),
    Scenario::new("nerdctl::moves", moves)
        .runtimes(DROP_IN)
        .full(),
];

const STOCK: &[Runtime] = &[Runtime::Stock];

const DROP_IN: &[Runtime] = &[Runtime::DropIn];

const NAME: &str = "client";

/// Also the name of its directory.
const CHECKPOINT: &str = "moment";

/// A web server on port 80 that counts in its log.
const SERVER: &str = "mkdir -p /www && echo welcome >/www/index.html && httpd -p 80 -h /www
i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done";

/// A port of the host.
const PORT: &str = "8080";

/// Bridge network with a published port, output, exec, stop and start.
fn lives(context: &Context) -> Result<()> {
    let nerdctl = Nerdctl::install(context.a())?;
    serve(&nerdctl)?;
    expect_page(context)?;
    expect_lines(&nerdctl, 3)?;
    let output = nerdctl.exec(NAME, &["sh", "-c", "echo out; echo err >&2; exit 5"])?;
    ensure!(
        output.text() == "out" && output.error_text().contains("err"),
        "{output:?}"
    );
    // nerdctl has an exit code of its own for it.
    ensure!(output.error_text().contains("exit code 5"), "{output:?}");

    nerdctl.check(["stop", "--time", "1", NAME])?;
    ensure!(
        nerdctl.status(NAME)? == "exited",
        "{}",
        nerdctl.status(NAME)?
    );
    let before = lines(&nerdctl)?;
    nerdctl.check(["start", NAME])?;
    expect_page(context)?;
    expect_lines(&nerdctl, before + 3)?;
    nerdctl.check(["pause", NAME])?;
    ensure!(
        nerdctl.status(NAME)? == "paused",
        "{}",
        nerdctl.status(NAME)?
    );
    nerdctl.check(["unpause", NAME])?;
    nerdctl.check(["rm", "--force", NAME])?;
    nerdctl.clean_up()
}

fn serve(nerdctl: &Nerdctl) -> Result<()> {
    let publish = format!("{PORT}:80");
    nerdctl.check([
        "run",
        "--detach",
        "--name",
        NAME,
        "--publish",
        &publish,
        BUSYBOX_IMAGE,
        "sh",
        "-c",
        SERVER,
    ])?;
    Ok(())
}

/// The server answers on the port of its host, there and from the other host.
fn expect_page(context: &Context) -> Result<()> {
    for (host, server) in [(context.a(), "127.0.0.1"), (context.b(), "a")] {
        let url = format!("http://{server}:{PORT}/");
        let mut answer = String::new();
        let welcome = || {
            let command = host
                .command("busybox")
                .args(["wget", "-T", "5", "-qO-", &url]);
            let output = command.run()?;
            answer = format!("{output:?}");
            Ok(output.text() == "welcome")
        };
        ensure!(
            wait::until(LIMIT, welcome)?,
            "from host {}: {answer}",
            host.name()
        );
    }
    Ok(())
}

/// How many lines of its log nerdctl has.
fn lines(nerdctl: &Nerdctl) -> Result<usize> {
    Ok(nerdctl.check(["logs", NAME])?.lines().count())
}

/// Waits until it has so many.
fn expect_lines(nerdctl: &Nerdctl, count: usize) -> Result<()> {
    ensure!(
        wait::until(LIMIT, || Ok(lines(nerdctl)? >= count))?,
        "not {count} lines but {}",
        lines(nerdctl)?
    );
    Ok(())
}

/// The server again, and a checkpoint: its log, its number and its port go on. CRIU 4.1 dumps no
/// socket that listens on this kernel: that is said, and the server serves on.
fn network(context: &Context) -> Result<()> {
    let nerdctl = Nerdctl::install(context.a())?;
    serve(&nerdctl)?;
    expect_page(context)?;
    if context.flavour() == Flavour::Trixie {
        let output = nerdctl
            .command(["checkpoint", "create", NAME, CHECKPOINT])
            .run()?;
        ensure!(!output.status.success(), "{output:?}");
        if context.runtime().is_ours() {
            let said = output.error_text();
            ensure!(said.contains("use CRIU 4.2 or later"), "{said}");
        }
    } else {
        checkpoint(&nerdctl)?;
        let before = lines(&nerdctl)?;
        nerdctl.check(["start", "--checkpoint", CHECKPOINT, NAME])?;
        expect_lines(&nerdctl, before + 3)?;
        let log = nerdctl.check(["logs", NAME])?;
        let counted = (1..).map(|number| format!("line {number}"));
        for (line, expected) in log.lines().zip(counted) {
            ensure!(line == expected, "not {expected}: {log}");
        }
    }
    expect_page(context)?;
    nerdctl.check(["rm", "--force", NAME])?;
    nerdctl.clean_up()
}

/// Takes a checkpoint of [`NAME`], which ends it.
fn checkpoint(nerdctl: &Nerdctl) -> Result<()> {
    nerdctl.check(["checkpoint", "create", NAME, CHECKPOINT])?;
    ensure!(
        nerdctl.status(NAME)? == "exited",
        "it is {}",
        nerdctl.status(NAME)?
    );
    let known = nerdctl.check(["checkpoint", "ls", NAME])?;
    ensure!(known.lines().any(|line| line == CHECKPOINT), "{known}");
    Ok(())
}

const WORKLOAD: &str = "sem-creator-first";

/// Two processes with a semaphore in a `/dev/shm` that is a bind of a tmpfs of the host; `flags` are
/// more of nerdctl's.
fn start_shareable<'h>(context: &Context<'h>, flags: &[&str]) -> Result<(Nerdctl<'h>, Probe)> {
    context.python()?;
    let nerdctl = Nerdctl::install(context.a())?;
    make_shareable(
        &nerdctl,
        &[&["run", "--detach"], flags].concat(),
        PYTHON_IMAGE,
    )?;
    workload::wait_until_ready_by(|args| nerdctl.exec(NAME, args))?;
    let before = probe(&nerdctl)?;
    Ok((nerdctl, before))
}

/// Makes that container of `image` by the command `make`.
fn make_shareable(nerdctl: &Nerdctl, make: &[&str], image: &str) -> Result<()> {
    let flags = ["--name", NAME, "--network", "none", "--ipc", "shareable"];
    let script = format!("{WORKLOAD_DIR}/scenario.py");
    let program = [image, "python3", &script, WORKLOAD];
    nerdctl.check(make.iter().chain(&flags).chain(&program))?;
    Ok(())
}

fn probe(nerdctl: &Nerdctl) -> Result<Probe> {
    Probe::ask(WORKLOAD, |args| nerdctl.exec(NAME, args))
}

/// The container goes on after a checkpoint, or ends with it and comes back.
fn shareable(context: &Context) -> Result<()> {
    let (nerdctl, before) = start_shareable(context, &[])?;
    nerdctl.check(["checkpoint", "create", "--leave-running", NAME, "early"])?;
    let now = probe(&nerdctl)?;
    before.expect_same(&now).context("left running")?;
    nerdctl.check(["checkpoint", "rm", NAME, "early"])?;
    comes_back(&nerdctl, &before)
}

/// The same under the shim's own name: nerdctl does not say that the container is to end.
fn shareable_by_annotation(context: &Context) -> Result<()> {
    let name = context.runtime().name();
    let flags = ["--runtime", name, "--annotation", "io.remap.exit=true"];
    let (nerdctl, before) = start_shareable(context, &flags)?;
    comes_back(&nerdctl, &before)
}

/// Twice, and each time onto an empty tmpfs: nerdctl mounts a new one for each start.
fn comes_back(nerdctl: &Nerdctl, before: &Probe) -> Result<()> {
    for time in ["first", "second"] {
        checkpoint(nerdctl)?;
        nerdctl.check(["start", "--checkpoint", CHECKPOINT, NAME])?;
        before.expect_same(&probe(nerdctl)?).context(time)?;
        nerdctl.check(["checkpoint", "rm", NAME, CHECKPOINT])?;
        let known = nerdctl.check(["checkpoint", "ls", NAME])?;
        ensure!(!known.contains(CHECKPOINT), "{known}");
    }
    remove(nerdctl, &[NAME])
}

/// To another host: nerdctl has no command for it, but it carries the root as an image, and a container
/// that is made of that takes the checkpoint.
fn moves(context: &Context) -> Result<()> {
    const IMAGE: &str = "remap.test/moved:1";
    let (a, before) = start_shareable(context, &[])?;
    let b = Nerdctl::install(context.b())?;
    let dir = context.dir()?;
    let [images, root, archive] =
        ["/moment", "/root.tar", "/moment.tar"].map(|end| dir.clone() + end);
    let at = ["--checkpoint-dir", &dir];
    a.command(["checkpoint", "create", NAME, CHECKPOINT])
        .args(at)
        .check()?;
    a.check(["commit", NAME, IMAGE])?;
    a.check(["save", "--output", &root, IMAGE])?;
    remove(&a, &[NAME])?;
    a.check(["image", "rm", IMAGE])?;
    context
        .a()
        .shell(&format!("tar -C {images} -cf {archive} ."))?;
    for file in [&root, &archive] {
        context
            .link()
            .copy_file(context.a(), file, context.b(), file)?;
    }

    context
        .b()
        .shell(&format!("mkdir {images} && tar -C {images} -xf {archive}"))?;
    b.check(["load", "--input", &root])?;
    make_shareable(&b, &["create"], IMAGE)?;
    b.command(["start", "--checkpoint", CHECKPOINT])
        .args(at)
        .arg(NAME)
        .check()?;
    before.expect_same(&probe(&b)?)?;
    remove(&b, &[NAME])?;
    b.check(["image", "rm", IMAGE])?;
    Ok(())
}

/// Removes containers of a shareable `/dev/shm`. nerdctl complains: it has mounted more than it
/// unmounts.
fn remove(nerdctl: &Nerdctl, names: &[&str]) -> Result<()> {
    nerdctl.command(["rm", "--force"]).args(names).run()?;
    let left = nerdctl.check(["ps", "--all", "--quiet"])?;
    ensure!(left.is_empty(), "{left} of {names:?} are left");
    nerdctl.clean_up()
}

/// The stock shim fails at the dump, and at the restore if CRIU is configured as well as it can be.
fn shareable_stock(context: &Context) -> Result<()> {
    let (nerdctl, _) = start_shareable(context, &[])?;
    let refused = nerdctl
        .command(["checkpoint", "create", NAME, CHECKPOINT])
        .run()?;
    ensure!(!refused.status.success(), "it is saved");
    let id = nerdctl.id(NAME)?;
    let ctr = context.ctr();
    stock::expect_in_log_of(&ctr, &id, "criu-dump.log", &["Use link-remap option"])?;
    {
        let _conf = CriuConf::write(context.a(), HELPFUL)?;
        // That is there by now, though nothing is in it.
        nerdctl
            .command(["checkpoint", "rm", NAME, CHECKPOINT])
            .run()?;
        checkpoint(&nerdctl)?;
        let output = nerdctl
            .command(["start", "--checkpoint", CHECKPOINT, NAME])
            .run()?;
        ensure!(!output.status.success(), "it is restored");
        let said = output.error_text();
        ensure!(said.contains("criu failed"), "{said}");
    }
    remove(&nerdctl, &[NAME])
}

/// Two containers that work together on the `/dev/shm` of the first. nerdctl says that they belong
/// together, so nobody else has to.
fn container(context: &Context) -> Result<()> {
    context.python()?;
    let nerdctl = Nerdctl::install(context.a())?;
    let [creator, user] = MEMBERS;
    for (member, ipc) in [(creator, "shareable"), (user, "container:creator")] {
        nerdctl.check([
            "run",
            "--detach",
            "--name",
            member,
            "--network",
            "none",
            "--ipc",
            ipc,
            PYTHON_IMAGE,
            "python3",
            &pod::script(),
            member,
        ])?;
    }
    let exec = |member: &str, args: &[&str]| nerdctl.exec(member, args);
    pod::expect_rounds_by(exec).context("in the beginning")?;

    // One alone is refused, and the other is named.
    let alone = nerdctl
        .command(["checkpoint", "create", creator, "alone"])
        .run()?;
    let remedy = format!("pause {}", nerdctl.id(user)?);
    ensure!(alone.error_text().contains(&remedy), "{alone:?}");
    pod::expect_rounds_by(exec).context("after a refusal")?;

    nerdctl.check(["pause", creator, user])?;
    for member in MEMBERS {
        nerdctl.check(["checkpoint", "create", member, &format!("of-{member}")])?;
    }
    for member in MEMBERS {
        ensure!(
            nerdctl.status(member)? == "exited",
            "{member} has not ended"
        );
        nerdctl.check(["start", "--checkpoint", &format!("of-{member}"), member])?;
    }
    pod::expect_rounds_by(exec).context("restored")?;
    remove(&nerdctl, &[user, creator])
}

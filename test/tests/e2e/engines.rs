//! OCI runtimes other than the flavour's own runc, chosen by `ctr run --runc-binary`: a whole life
//! with them, and a move to another host with what is on an external tmpfs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::shim::Api;
use remap_test::{GoProgram, Host, Runtime, wait};
use serde_json::json;

use crate::context::Context;
use crate::migration;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::terminal;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`]. `ctr` lets the runtime's program be chosen only under the stock
/// shim's name.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("engines::crun_lives", |context| with_crun(context, lives)).runtimes(DROP_IN),
    Scenario::new("engines::crun_moves", |context| with_crun(context, moves)).runtimes(DROP_IN),
    Scenario::new("engines::crun_terminal", |context| {
        with_crun(context, |context, binary| {
            terminal::moves(context, &["--runc-binary", binary])
        })
    })
    .runtimes(DROP_IN),
    Scenario::new("engines::crun_without_library", |context| {
        with_crun(context, without_library)
    })
    .runtimes(DROP_IN),
    Scenario::new("engines::crun_without_criu", |context| {
        with_crun(context, without_criu)
    })
    .runtimes(DROP_IN),
    Scenario::new("engines::crun_moves_stock", |context| {
        with_crun(context, is_lost)
    })
    .runtimes(&[Runtime::Stock]),
    Scenario::new("engines::runc_1_2", |context| {
        with_go(context, GoProgram::Runc12)
    })
    .runtimes(DROP_IN),
    Scenario::new("engines::runc_1_4", |context| {
        with_go(context, GoProgram::Runc14)
    })
    .runtimes(DROP_IN),
];

const DROP_IN: &[Runtime] = &[Runtime::DropIn];

const CRUN: &str = "/usr/bin/crun";

/// What crun loads to talk to CRIU.
const LIBRARY: &str = "/usr/lib/*/libcriu.so.2*";

/// A scenario on crun. It refuses hosts whose unified hierarchy has controllers beside those of
/// cgroup v1 (`libcrun_cgroup_enter`), so a hybrid host is one of cgroup v1 meanwhile.
fn with_crun(context: &Context, scenario: fn(&Context, &str) -> Result<()>) -> Result<()> {
    let hosts = [context.a(), context.b()];
    for host in hosts {
        host.shell(
            "if [ -d /sys/fs/cgroup/unified ]; then
                umount /sys/fs/cgroup/unified && rmdir /sys/fs/cgroup/unified
                cp /run/host-cgroups /srv/host-cgroups
                grep -v unified /srv/host-cgroups >/run/host-cgroups
            fi",
        )?;
    }
    scenario(context, CRUN)?;
    for host in hosts {
        host.shell(
            "rm -rf /run/crun /run/containerd/runc/default/.empty-directory
            if [ -e /srv/host-cgroups ]; then
                mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
                # CRIU has a hierarchy of its own, of which crun knows nothing here.
                find /sys/fs/cgroup/unified -mindepth 2 -depth -type d -delete
                cat /srv/host-cgroups >/run/host-cgroups && rm /srv/host-cgroups
            fi",
        )?;
    }
    Ok(())
}

/// Both scenarios on a runc that no flavour has.
fn with_go(context: &Context, program: GoProgram) -> Result<()> {
    let built = program.prepare()?;
    let path = format!("/srv/runc-{}", program.version());
    for host in [context.a(), context.b()] {
        host.install_file(&built, path.as_ref(), 0o755)?;
    }
    lives(context, &path)?;
    moves(context, &path)
}

fn by<'h>(run: Run<'h>, binary: &str) -> Run<'h> {
    run.flag(["--runc-binary", binary])
}

/// All that a container without a checkpoint needs of its runtime. (Not run with the stock shim,
/// which at times loses the output of a short `ctr exec`.)
fn lives(context: &Context, binary: &str) -> Result<()> {
    let ctr = context.ctr();
    let run = |id| by(ctr.run(context.runtime(), BUSYBOX_IMAGE, id), binary);
    let output = run("output")
        .shell("seq 3; echo aside >&2; sleep 0.5; exit 7")
        .output()?;
    ensure!(
        output.exit_code() == 7 && output.text() == "1\n2\n3" && output.error_text() == "aside",
        "{output:?}"
    );
    let missing = run("missing").args(["/no/such/program"]).output()?;
    ensure!(
        missing.exit_code() != 0 && missing.error_text().contains("/no/such/program"),
        "{missing:?}"
    );
    ctr.remove("missing")?;

    run("engine")
        .shell("sleep 600 & sleep 600 & wait")
        .start()?;
    let three = || Ok(ctr.pids("engine")?.len() == 3);
    ensure!(wait::until(LIMIT, three)?, "{:?}", ctr.pids("engine")?);
    let output = ctr.exec("engine", &["sh", "-c", "echo out; echo err >&2; exit 5"])?;
    ensure!(
        output.exit_code() == 5 && output.text() == "out" && output.error_text().contains("err"),
        "{output:?}"
    );
    let output = ctr.exec("engine", &["/no/such/program"])?;
    ensure!(
        output.exit_code() != 0 && output.error_text().contains("/no/such/program"),
        "{output:?}"
    );
    let limit = json!({ "memory": { "limit": 64 << 20 } });
    Api::connect(context.a(), "engine")?.update(&limit)?;
    let metrics = ctr
        .command(["task", "metrics", "--format=json", "engine"])
        .check()?;
    ensure!(metrics.text().contains("67108864"), "{metrics:?}");
    ctr.pause("engine")?;
    ctr.wait_for("engine", &Status::Paused, LIMIT)?;
    ctr.resume("engine")?;
    ctr.wait_for("engine", &Status::Running, LIMIT)?;
    ctr.kill("engine", "SIGKILL")?;
    ctr.wait_for("engine", &Status::Stopped, LIMIT)?;
    let again = ctr.command(["task", "kill", "engine"]).run()?;
    ensure!(
        again.error_text().contains("not found") || again.error_text().contains("finished"),
        "{again:?}"
    );
    ensure!(
        ctr.delete_task("engine")? == 137,
        "another exit code than SIGKILL's"
    );
    ctr.delete_container("engine")?;

    // One that is paused can be ended as well. (The stock shim leaves that to the runtime, and crun
    // does not do it on cgroup v1.)
    run("paused").shell("sleep 600").start()?;
    ctr.pause("paused")?;
    ctr.kill("paused", "SIGKILL")?;
    ctr.wait_for("paused", &Status::Stopped, Duration::from_secs(10))?;
    ctr.remove("paused")
}

/// There and back, each time to an empty tmpfs.
fn moves(context: &Context, binary: &str) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let a_shm = Shm::mount(context.a(), ID)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    let workload = Workload::start_by(context, &a_shm, "sem-creator-first", |run| by(run, binary))?;
    let before = workload.probe(&a)?;
    migration::move_container(context, &dir, (&a, &a_shm), (&b, &b_shm))?;
    workload.expect_same(&b, &before).context("there")?;
    expect_engine(context.b(), binary)?;
    b_shm.expect_no_leftovers()?;
    migration::move_container(context, &dir, (&b, &b_shm), (&a, &a_shm))?;
    workload.expect_same(&a, &before).context("and back")?;
    a_shm.expect_no_leftovers()?;
    a.kill(ID, "SIGKILL")?;
    a.wait_for(ID, &Status::Stopped, LIMIT)?;
    ensure!(
        a.delete_task(ID)? == 137,
        "another exit code than SIGKILL's"
    );
    a.delete_container(ID)
}

/// It is this program that keeps the container, not the flavour's runc.
fn expect_engine(host: &Host, binary: &str) -> Result<()> {
    let state = format!("{binary} --root /run/containerd/runc/default state {ID}");
    let state = host.shell(&state)?;
    ensure!(state.text().contains("\"running\""), "{state:?}");
    Ok(())
}

/// What the stock shim makes of the same: the semaphore's name is gone, or CRIU fails.
fn is_lost(context: &Context, binary: &str) -> Result<()> {
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let a_shm = Shm::mount(context.a(), ID)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    Workload::start_by(context, &a_shm, "sem-creator-first", |run| by(run, binary))?;
    let moved = migration::move_container(context, &dir, (&a, &a_shm), (&b, &b_shm));
    ensure!(moved.is_err(), "the stock shim moves it, too");
    b.remove_all()?;
    a.remove_all()
}

/// A crun that does not find CRIU's library: nothing is touched, and the error says so.
fn without_library(context: &Context, binary: &str) -> Result<()> {
    let (ctr, shm) = (context.ctr(), Shm::mount(context.a(), ID)?);
    let workload = Workload::start_by(context, &shm, "sem-creator-first", |run| by(run, binary))?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;
    let hide = format!("mkdir /srv/library && mv {LIBRARY} /srv/library");
    context.a().shell(&hide)?;
    let unplanned = context
        .ctr()
        .without_plan("no plan asks crun whether its library loads");
    let refused = unplanned.checkpoint(ID, "remap.test/refused:1");
    context
        .a()
        .shell("mv /srv/library/* /usr/lib/$(uname -m)-linux-gnu/ && rmdir /srv/library")?;
    let error = refused.err().context("it was checkpointed")?;
    let error = format!("{error:#}");
    ensure!(error.contains("libcriu"), "{error}");
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;
    shm.expect_no_leftovers()?;
    ctr.remove(ID)
}

/// A crun that was built without CRIU: the plan says so (what it says is held against what comes of the
/// checkpoint), and nothing is touched.
fn without_criu(context: &Context, binary: &str) -> Result<()> {
    const WITHOUT: &str = "/srv/crun-without-criu";
    let (ctr, host) = (context.ctr(), context.a());
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--version*) {binary} --version | sed 's/+CRIU/-CRIU/' ;;\n\
         *) exec {binary} \"$@\" ;;\nesac\n"
    );
    host.write_file(WITHOUT, script)?;
    host.shell(&format!("chmod 755 {WITHOUT}"))?;
    by(ctr.run(context.runtime(), BUSYBOX_IMAGE, ID), WITHOUT)
        .shell("while :; do sleep 0.2; done")
        .start()?;
    let reason = "was built without CRIU";
    let plan = host
        .command("remapctl")
        .args(["plan", "--json", ID])
        .run()?;
    ensure!(
        plan.exit_code() == 1 && plan.text().contains(reason),
        "{plan:?}"
    );
    let refused = ctr.checkpoint(ID, "remap.test/refused:1").err();
    let error = format!("{:#}", refused.context("it was checkpointed")?);
    ensure!(error.contains(reason), "{error}");
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    ctr.remove(ID)
}

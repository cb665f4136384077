//! The life of a container without any checkpoint: all that a shim owes containerd.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Flavour, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("lifecycle::exit_code", exit_code).flavours(&Flavour::ALL),
    Scenario::new("lifecycle::output", output).flavours(&Flavour::ALL),
    Scenario::new("lifecycle::input", input),
    Scenario::new("lifecycle::exec", exec).flavours(&Flavour::ALL),
    Scenario::new("lifecycle::kill", kill),
    Scenario::new("lifecycle::terminate", terminate),
    Scenario::new("lifecycle::pause", pause).flavours(&Flavour::ALL),
    Scenario::new("lifecycle::ends_frozen", ends_frozen),
    Scenario::new("lifecycle::processes", processes),
    Scenario::new("lifecycle::bind_mount", bind_mount),
    Scenario::new("lifecycle::log_file", log_file),
    Scenario::new("lifecycle::again", again),
    Scenario::new("lifecycle::no_such_program", no_such_program),
    Scenario::new("lifecycle::parallel", parallel),
    Scenario::new("lifecycle::containerd_restart", containerd_restart).flavours(&Flavour::ALL),
    Scenario::new("lifecycle::many", many).full(),
];

const LIMIT: Duration = Duration::from_secs(10);

/// Counts in `/count/n`, twenty times a second.
const COUNTER: &str = "n=0; while :; do n=$((n + 1)); echo $n >/count/new; \
                       mv /count/new /count/n; sleep 0.05; done";

fn busybox<'c>(context: &Context<'c>, id: &str) -> Run<'c> {
    context.ctr().run(context.runtime(), BUSYBOX_IMAGE, id)
}

fn exit_code(context: &Context) -> Result<()> {
    for code in [0, 1, 42, 255] {
        let output = busybox(context, "exit")
            .shell(&format!("exit {code}"))
            .output()?;
        ensure!(output.exit_code() == code, "not {code}: {output:?}");
    }
    Ok(())
}

fn output(context: &Context) -> Result<()> {
    let lines = 20_000;
    // ctr does not wait for the end of the output before it exits with the container.
    let line = format!("seq {lines}; echo aside >&2; sleep 0.5");
    let output = busybox(context, "output").shell(&line).output()?.ok()?;
    let text = output.text();
    ensure!(
        text.lines().count() == lines,
        "{} lines",
        text.lines().count()
    );
    ensure!(
        text.lines().last() == Some("20000"),
        "the end is {:?}",
        text.lines().last()
    );
    ensure!(
        output.error_text() == "aside",
        "stderr is {:?}",
        output.error_text()
    );
    Ok(())
}

fn input(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let output = ctr
        .command(["run", "--rm", "--runtime", context.runtime().name()])
        .args([
            BUSYBOX_IMAGE,
            "input",
            "/bin/sh",
            "-c",
            "read line; echo got $line",
        ])
        .stdin("a line\n")
        .check()?;
    ensure!(output.text() == "got a line", "{output:?}");
    Ok(())
}

fn exec(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    busybox(context, "exec")
        .shell("echo here >/mark; sleep 600")
        .start()?;
    // The shell may not have written yet.
    let seen = wait::until(LIMIT, || {
        Ok(ctr.exec("exec", &["cat", "/mark"])?.text() == "here")
    })?;
    ensure!(seen, "the container's file does not come");

    let output = ctr.exec("exec", &["sh", "-c", "echo out; echo err >&2; exit 5"])?;
    ensure!(output.exit_code() == 5, "{output:?}");
    ensure!(
        output.text() == "out" && output.error_text().contains("err"),
        "{output:?}"
    );

    let output = ctr.exec("exec", &["/no/such/program"])?;
    ensure!(output.exit_code() != 0, "{output:?}");
    ctr.wait_for("exec", &Status::Running, LIMIT)?;
    ctr.remove("exec")
}

fn kill(context: &Context) -> Result<()> {
    ends_by(context, "SIGKILL", "sleep 600", 137)
}

/// A container's first process is only reached by a signal that it handles.
fn terminate(context: &Context) -> Result<()> {
    ends_by(
        context,
        "SIGTERM",
        "trap 'exit 143' TERM; echo >/ready; while :; do sleep 0.1; done",
        143,
    )
}

fn ends_by(context: &Context, signal: &str, line: &str, code: i32) -> Result<()> {
    let ctr = context.ctr();
    busybox(context, "kill").shell(line).start()?;
    if line.contains("/ready") {
        let trapped = || Ok(ctr.exec("kill", &["cat", "/ready"])?.exit_code() == 0);
        ensure!(
            wait::until(LIMIT, trapped)?,
            "the container does not get ready"
        );
    }
    ctr.kill("kill", signal)?;
    ctr.wait_for("kill", &Status::Stopped, LIMIT)?;
    let ended = ctr.delete_task("kill")?;
    ensure!(ended == code, "{signal} gives {ended}, not {code}");
    ensure!(ctr.task("kill")?.is_none(), "the task is still there");
    ctr.delete_container("kill")
}

fn pause(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    busybox(context, "pause")
        .bind(&dir, "/count")
        .shell(COUNTER)
        .start()?;
    let count = || -> Result<String> {
        let output = context.a().command("cat").arg(format!("{dir}/n")).run()?;
        Ok(output.text().into_owned())
    };
    let moves = |from: &str| wait::until(LIMIT, || Ok(count()? != from));

    ensure!(moves("")?, "the counter does not start");
    ctr.pause("pause")?;
    ctr.wait_for("pause", &Status::Paused, LIMIT)?;
    let frozen = count()?;
    std::thread::sleep(Duration::from_millis(500));
    ensure!(count()? == frozen, "the counter goes on while paused");

    ctr.resume("pause")?;
    ctr.wait_for("pause", &Status::Running, LIMIT)?;
    ensure!(moves(&frozen)?, "the counter stands still after the pause");
    ctr.remove("pause")
}

/// Init ends while the container is being frozen, as it may before a checkpoint: runc goes on saying
/// that it is paused. The stock shim never gets rid of it.
fn ends_frozen(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    busybox(context, "frozen").shell("exit 7").start()?;
    ctr.wait_for("frozen", &Status::Stopped, LIMIT)?;
    let freezer = |state_1: &str, state_2: &str| {
        let line = format!(
            "cd /sys/fs/cgroup && if [ -d freezer ]; then echo {state_1} >freezer/default/frozen/freezer.state; \
             else echo {state_2} >default/frozen/cgroup.freeze; fi"
        );
        context.a().shell(&line).map(drop)
    };
    freezer("FROZEN", "1")?;
    let deleted = ctr.delete_task("frozen");
    if context.runtime() != Runtime::Stock {
        ensure!(deleted? == 7);
        return ctr.delete_container("frozen");
    }
    let error = deleted.err().map(|error| error.to_string());
    ensure!(
        error
            .as_ref()
            .is_some_and(|error| error.contains("that is not stopped: paused")),
        "the stock shim has learned it: {error:?}"
    );
    freezer("THAWED", "0")?;
    ctr.remove("frozen")
}

fn processes(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    busybox(context, "ps")
        .shell("sleep 600 & sleep 600 & wait")
        .start()?;
    let all = || Ok(ctr.pids("ps")?.len() == 3);
    ensure!(
        wait::until(LIMIT, all)?,
        "not three processes but {:?}",
        ctr.pids("ps")?
    );
    let init = ctr.wait_for("ps", &Status::Running, LIMIT)?.pid;
    ensure!(
        ctr.pids("ps")?.contains(&init),
        "{init} is not among {:?}",
        ctr.pids("ps")?
    );
    ctr.remove("ps")
}

fn bind_mount(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    context
        .a()
        .write_file(&format!("{dir}/in"), "from the host")?;
    let output = busybox(context, "bind")
        .bind(&dir, "/data")
        .shell("cat /data/in >/data/out")
        .output()?;
    output.ok()?;
    let written = context.a().read_file(&format!("{dir}/out"))?;
    ensure!(written == b"from the host", "{written:?}");
    Ok(())
}

fn log_file(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let log = format!("{}/log", context.dir()?);
    busybox(context, "log")
        .log_file(&log)
        .shell("echo one; echo two >&2")
        .start()?;
    ctr.wait_for("log", &Status::Stopped, LIMIT)?;
    let complete = || Ok(context.a().read_file(&log)?.len() == 8);
    ensure!(
        wait::until(LIMIT, complete)?,
        "{:?}",
        context.a().read_file(&log)?
    );
    ctr.remove("log")
}

/// An id is free again as soon as its container is deleted.
fn again(context: &Context) -> Result<()> {
    for _ in 0..3 {
        busybox(context, "again").shell("sleep 600").start()?;
        context.ctr().remove("again")?;
    }
    Ok(())
}

fn no_such_program(context: &Context) -> Result<()> {
    let output = busybox(context, "nothing")
        .args(["/no/such/program"])
        .output()?;
    ensure!(output.exit_code() != 0, "{output:?}");
    ensure!(
        output.error_text().contains("/no/such/program"),
        "{output:?}"
    );
    context.ctr().remove("nothing")
}

fn parallel(context: &Context) -> Result<()> {
    let runs = (0..6)
        .map(|n| busybox(context, &format!("parallel-{n}")).shell(&format!("sleep 0.3; exit {n}")))
        .map(Run::background)
        .collect::<Result<Vec<_>>>()?;
    for (n, run) in (0..).zip(runs) {
        let output = run.finish(LIMIT * 3)?;
        ensure!(output.exit_code() == n, "not {n}: {output:?}");
    }
    Ok(())
}

/// Containers outlive containerd, and a new one finds them.
fn containerd_restart(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    busybox(context, "survivor").shell("sleep 600").start()?;
    let before = ctr.wait_for("survivor", &Status::Running, LIMIT)?;

    remap_test::Containerd::of(context.a()).stop()?;
    context.runtime().prepare(context.a())?;

    let after = ctr.wait_for("survivor", &Status::Running, LIMIT)?;
    ensure!(after == before, "{before:?} became {after:?}");
    ctr.kill("survivor", "SIGKILL")?;
    ctr.wait_for("survivor", &Status::Stopped, LIMIT)?;
    ensure!(ctr.delete_task("survivor")? == 137);
    ctr.delete_container("survivor")
}

/// What is lost only now and then is lost here.
fn many(context: &Context) -> Result<()> {
    for n in 0..50 {
        let output = busybox(context, &format!("many-{n}"))
            .shell("seq 500; exit 3")
            .output()?;
        ensure!(output.exit_code() == 3, "{output:?}");
        ensure!(output.text().lines().count() == 500, "{output:?}");
    }
    Ok(())
}

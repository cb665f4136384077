//! The hosts themselves: that they are two machines.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Flavour, Runtime};

use crate::context::Context;
use crate::scenario::{Scenario, skip};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("hosts::versions", versions)
        .runtimes(STOCK)
        .flavours(&Flavour::ALL),
    Scenario::new("hosts::commands", commands).runtimes(STOCK),
    Scenario::new("hosts::time_out", time_out).runtimes(STOCK),
    Scenario::new("hosts::nothing_shared", nothing_shared).runtimes(STOCK),
    Scenario::new("hosts::python", python).runtimes(STOCK),
    Scenario::new("hosts::copy", copy).runtimes(STOCK),
    Scenario::new("hosts::rate", rate).runtimes(STOCK),
];

/// For what has nothing to do with the shim.
const STOCK: &[Runtime] = &[Runtime::Stock];

fn versions(context: &Context) -> Result<()> {
    let expected = context.flavour().versions();
    let host = context.a();
    for (program, version) in [
        ("containerd", expected.containerd),
        ("runc", expected.runc),
        ("criu", expected.criu),
    ] {
        let said = host.command(program).arg("--version").check()?;
        let found = said.text().split_whitespace().any(|word| {
            let word = word.trim_start_matches('v');
            word == version || word.starts_with(&format!("{version}."))
        });
        ensure!(found, "{program} is not {version}: {}", said.text());
    }
    host.command("criu").arg("check").check()?;
    Ok(())
}

fn commands(context: &Context) -> Result<()> {
    let host = context.a();
    let output = host.command("cat").stdin(vec![0xff; 300_000]).check()?;
    ensure!(
        output.stdout == vec![0xff; 300_000],
        "{} bytes came back",
        output.stdout.len()
    );

    let failed = host
        .command("sh")
        .args(["-c", "echo why >&2; exit 3"])
        .check();
    let message = failed
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    for part in ["host a", "exit 3", "failed with 3", "stderr: why"] {
        ensure!(message.contains(part), "no {part:?} in {message:?}");
    }

    let output = host.command("sh").args(["-c", "kill -TERM $$"]).run()?;
    ensure!(output.exit_code() == 143, "{output:?}");
    let output = host
        .command("pwd")
        .current_dir("/etc")
        .env("PATH", "/bin")
        .check()?;
    ensure!(output.text() == "/etc", "{output:?}");
    Ok(())
}

/// Only what the command started ends with it.
fn time_out(context: &Context) -> Result<()> {
    let host = context.a();
    let bystander = host.command("sleep").arg("600").spawn()?;
    let output = host
        .command("sh")
        .args(["-c", "echo begun; sleep 601 & sleep 601"])
        .timeout(Duration::from_millis(300))
        .run()?;
    ensure!(output.timed_out && output.text() == "begun", "{output:?}");
    let left = host.command("pgrep").args(["-f", "sleep 601"]).run()?;
    ensure!(left.exit_code() == 1, "still there: {}", left.text());
    ensure!(bystander.is_running()?, "another command has ended too");
    bystander.kill()?;
    Ok(())
}

/// The same container on both hosts: neither sees the other's, nor its cgroup.
fn nothing_shared(context: &Context) -> Result<()> {
    for ctr in [context.ctr(), context.ctr_on_b()] {
        ctr.run(context.runtime(), BUSYBOX_IMAGE, "same")
            .shell("sleep 600")
            .start()?;
    }
    context.ctr().pause("same")?;
    let b = context.ctr_on_b();
    ensure!(
        b.exec("same", &["true"])?.exit_code() == 0,
        "pausing a's stops b's"
    );
    context.ctr().remove("same")?;
    ensure!(b.pids("same")?.len() == 1, "removing a's takes b's away");
    b.remove("same")
}

fn python(context: &Context) -> Result<()> {
    let image = context.python()?;
    let line = "import multiprocessing.shared_memory; print(6 * 7)";
    let run = context.ctr().run(context.runtime(), image, "python");
    let output = run.args(["python3", "-c", line]).output()?.ok()?;
    ensure!(output.text() == "42", "{output:?}");
    Ok(())
}

fn copy(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let (a, b) = (context.a(), context.b());
    a.shell(&format!(
        "cd {dir} && mkdir -p d/e && head -c 3000000 /dev/urandom >d/e/f && echo x >d/g"
    ))?;

    let path = |name: &str| format!("{dir}/{name}");
    let sent = context.link().copy_file(a, &path("d/e/f"), b, &path("f"))?;
    ensure!(sent.bytes == 3_000_000, "{sent:?}");
    ensure!(b.read_file(&path("f"))? == a.read_file(&path("d/e/f"))?);

    let sent = context
        .link()
        .copy_directory(a, &path("d"), b, &path("copy"))?;
    ensure!(sent.bytes == 3_000_002, "{sent:?}");
    ensure!(b.read_file(&path("copy/g"))? == b"x\n");

    let missing = context.link().copy_file(a, &path("none"), b, &path("none"));
    ensure!(missing.is_err(), "a file that is not there was copied");
    Ok(())
}

fn rate(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let (a, b, link) = (context.a(), context.b(), context.link());
    if link.limit_rate(a, Some(80)).is_err() {
        return skip("this kernel has no token bucket filter");
    }
    let file = format!("{dir}/file");
    a.command("truncate").args(["-s", "5M", &file]).check()?;
    let slow = link.copy_file(a, &file, b, &file)?;
    link.limit_rate(a, None)?;
    let fast = link.copy_file(a, &file, b, &file)?;
    ensure!(
        slow.elapsed > Duration::from_millis(400),
        "5 MiB at 80 Mbit/s: {slow:?}"
    );
    ensure!(
        fast.elapsed < slow.elapsed,
        "{slow:?}, and without a limit {fast:?}"
    );
    Ok(())
}

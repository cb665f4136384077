//! `examples/ci`: a service is warmed up once, and every job has a warm copy of its own.

use std::path::Path;

use anyhow::{Result, ensure};
use remap_test::exec::Output;
use remap_test::image::BUSYBOX_IMAGE;

use super::expect_failure;
use crate::context::Context;

const SCRIPT: &str = "/srv/ci";

/// Takes a while to become ready, and then keeps the number that it is told.
const SERVICE: &str =
    "sleep 1; echo 41 >/state; mkfifo /in; while :; do read line </in && echo $line >/state; done";

const READY: &str = "test -p /in";

/// All jobs find the service warm, and what one does no other sees.
pub(super) fn jobs(context: &Context) -> Result<()> {
    // It is warm, nobody else has written, and it answers.
    let job = "[ $(cat /state) = 41 ] && echo 42 >/in && sleep 1 && [ $(cat /state) = 42 ]";
    let output = run(
        context,
        &[BUSYBOX_IMAGE, SERVICE, READY, job, job, job, job],
    )?;
    ensure!(output.status.success(), "{}", output.error_text());
    for number in 1..=4 {
        let done = format!("job {number}: done");
        ensure!(output.text().contains(&done), "{}", output.text());
    }
    let failing = [BUSYBOX_IMAGE, SERVICE, READY, job, "exit 7"];
    let output = run(context, &failing)?;
    expect_failure(&output, 1, &["job 2: failed with 7"])?;
    ensure!(output.text().contains("job 1: done"), "{}", output.text());
    let output = run(context, &["-t", "2", BUSYBOX_IMAGE, SERVICE, "false", job])?;
    expect_failure(&output, 3, &["not ready within 2 s"])?;
    let output = run(context, &[BUSYBOX_IMAGE])?;
    expect_failure(&output, 2, &["examples/ci"])
}

/// Runs the script, which must leave nothing.
fn run(context: &Context, args: &[&str]) -> Result<Output> {
    let host = context.a();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/ci");
    host.install_file(&source, Path::new(SCRIPT), 0o755)?;
    let runtime = ["-r", context.runtime().name()];
    let output = host.command(SCRIPT).args(runtime).args(args).run()?;
    host.command("rm").arg(SCRIPT).check()?;
    let left = context.ctr().containers()?;
    ensure!(left.is_empty(), "containers are left: {left:?}");
    let left = host.shell("ls -d /tmp/ci.* 2>/dev/null || true")?;
    ensure!(left.text().is_empty(), "left: {}", left.text());
    Ok(output)
}

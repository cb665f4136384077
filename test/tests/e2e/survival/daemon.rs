//! containerd is killed while containers run and end.

use anyhow::{Context as _, Result, bail, ensure};
use remap_test::ctr::Status;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Containerd, Host, wait};

use crate::context::Context;
use crate::workload::LIMIT;

/// Where containerd logs, each event that a shim delivers, too, if it is told to trace.
const LOG: &str = "/var/log/containerd.log";

/// How an error ends that says that some events did not come.
const LOST: &str = "are told";

/// So many containers end while containerd is away.
const ENDING: u32 = 4;

/// Every end that containerd was not there for is told to it when it is back, once, and with the right
/// exit code; who runs on, runs on.
pub(super) fn killed(context: &Context) -> Result<()> {
    let (host, ctr, dir) = (context.a(), context.ctr(), context.dir()?);
    let daemon = Containerd::of(host);
    let lookup = context.runtime().lookup();
    daemon.stop()?;
    daemon.start_tracing(lookup)?;

    let until = "while [ ! -e /go/now ]; do sleep 0.05; done; exit";
    let run = |id: &str, line: &str| {
        ctr.run(context.runtime(), BUSYBOX_IMAGE, id)
            .bind(&dir, "/go")
            .shell(line)
            .start()
    };
    for number in 0..ENDING {
        run(
            &format!("ending-{number}"),
            &format!("{until} {}", 10 + number),
        )?;
    }
    run("staying", "sleep 600")?;
    let before = exits(host)?;
    for (id, line) in [("early", "true"), ("late", &format!("{until} 5"))] {
        ctr.command(["task", "exec", "--detach", "--exec-id", id, "staying"])
            .args(["sh", "-c", line])
            .check()?;
    }
    let told = || Ok(exits(host)? == before + 1);
    ensure!(
        wait::until(LIMIT, told)?,
        "the first exec's end is not told"
    );
    let task = ctr.wait_for("staying", &Status::Running, LIMIT)?;

    host.shell("kill -KILL $(cat /run/containerd.pid)")?;
    let is_gone = || Ok(daemon.pid()?.is_none());
    ensure!(wait::until(LIMIT, is_gone)?, "containerd does not end");
    host.write_file(&format!("{dir}/now"), "")?;
    let have_ended = || {
        let left = host.command("pgrep").args(["-f", "while.*go/now"]).run()?;
        Ok(left.exit_code() != 0)
    };
    ensure!(wait::until(LIMIT, have_ended)?, "the containers do not end");
    daemon.start_tracing(lookup)?;

    let expected = before + usize::try_from(1 + ENDING + 1)?;
    let are_told = || Ok(exits(host)? >= expected);
    ensure!(
        wait::until(LIMIT, are_told)?,
        "of {expected} ends {} {LOST}",
        exits(host)?
    );
    for number in 0..ENDING {
        let id = format!("ending-{number}");
        ctr.wait_for(&id, &Status::Stopped, LIMIT)?;
        let code = ctr.delete_task(&id)?;
        ensure!(
            code == i32::try_from(10 + number)?,
            "{id} ended with {code}"
        );
        ctr.delete_container(&id)?;
    }
    let after = ctr.wait_for("staying", &Status::Running, LIMIT)?;
    ensure!(after == task, "{task:?} became {after:?}");
    // One more would have come by now: events come in order, and this is the last.
    ctr.kill("staying", "SIGKILL")?;
    ctr.wait_for("staying", &Status::Stopped, LIMIT)?;
    let told = || Ok(exits(host)? > expected);
    ensure!(wait::until(LIMIT, told)?, "the last end is not told");
    ensure!(
        exits(host)? == expected + 1,
        "of {} ends {} are told",
        expected + 1,
        exits(host)?
    );
    ctr.remove("staying")?;
    // The next scenario's does not trace.
    daemon.stop()
}

/// The stock shim loses some of them: what there is to repair.
pub(super) fn stock(context: &Context) -> Result<()> {
    let result = killed(context);
    for id in context.ctr().containers()? {
        context.ctr().remove(&id)?;
    }
    Containerd::of(context.a()).stop()?;
    match result {
        Err(error) if error.to_string().ends_with(LOST) => Ok(()),
        other => bail!("it loses nothing: {other:?}"),
    }
}

/// How many exits shims have delivered.
fn exits(host: &Host) -> Result<usize> {
    let line = format!("grep 'event forwarded' {LOG} | grep -c topic=/tasks/exit; true");
    let count = host.shell(&line)?;
    count.text().trim().parse().context("no number")
}

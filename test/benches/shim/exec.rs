//! Processes that are added to a running container.

use std::time::Duration;

use anyhow::Result;
use remap_test::{Ctr, image};

use crate::figure::{Aim, Figure, interleaved, median};
use crate::run::milliseconds;
use crate::{RUNTIMES, idle};

/// `ctr task exec` of `true`, and what of it is not runc: the same with `runc exec` alone, in the
/// same containers and in turn, is taken off.
pub(crate) fn one(ctr: &Ctr<'_>) -> Result<()> {
    for runtime in RUNTIMES {
        idle::start(ctr, runtime, image::BUSYBOX_IMAGE, runtime.name())?;
    }
    let [times, bare] = interleaved(60, |runtime, round| {
        let (container, exec) = (runtime.name(), format!("exec-{round}"));
        let exec = ["task", "exec", "--exec-id", &exec, container, "true"];
        let whole = ctr.command(exec).check()?;
        let bare = [
            "--root",
            "/run/containerd/runc/default",
            "exec",
            container,
            "true",
        ];
        let bare = ctr.host().command("runc").args(bare).check()?;
        Ok([milliseconds(whole.elapsed), milliseconds(bare.elapsed)])
    })?;
    let whole = Figure::of("`ctr task exec … true`", "ms", &times, None);
    whole.print();
    let bare = median(&bare.concat());
    println!(
        "| `runc exec … true`, ms | {bare:.1} | {bare:.1} | | | {} |",
        whole.rounds
    );
    Figure {
        what: "`ctr task exec` above `runc exec`",
        values: whole.values.map(|value| value - bare),
        aim: Some(Aim::Ratio(0.5)),
        ..whole
    }
    .print();
    idle::stop(ctr)
}

/// 100 of them, 20 at a time.
pub(crate) fn many(ctr: &Ctr<'_>) -> Result<()> {
    for runtime in RUNTIMES {
        idle::start(ctr, runtime, image::BUSYBOX_IMAGE, runtime.name())?;
    }
    let [times] = interleaved(7, |runtime, _| {
        let line = format!(
            "seq 100 | xargs -P 20 -I N ctr task exec --exec-id many-N {} true",
            runtime.name()
        );
        let output = ctr.host().command("sh").args(["-c", &line]);
        let output = output.timeout(Duration::from_secs(300)).check()?;
        Ok([output.elapsed.as_secs_f64()])
    })?;
    let aim = Some(Aim::Ratio(0.9));
    Figure::of("100 execs, 20 at a time", "s", &times, aim).print();
    idle::stop(ctr)
}

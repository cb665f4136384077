//! Processes that are added to a running container.

use std::time::{Duration, Instant};

use anyhow::Result;
use remap_test::{Ctr, image};

use crate::api::Api;
use crate::figure::{Aim, Figure, interleaved, median};
use crate::run::milliseconds;
use crate::{RUNTIMES, idle};

/// `ctr task exec` of `true`; the same asked of the shims themselves, and what of that is neither runc
/// nor `true`: `runc exec --detach`, which is what a shim calls, called by a shell in the same
/// containers and in turn, is taken off. The shell waits until nobody has its pipe any more, so for
/// the end of `true` as well, as the shims' client does: runc is gone before that, as its child has
/// yet to become `true`.
pub(crate) fn one(ctr: &Ctr<'_>) -> Result<()> {
    for runtime in RUNTIMES {
        idle::start(ctr, runtime, image::BUSYBOX_IMAGE, runtime.name())?;
    }
    let [whole, asked, runc] = interleaved(60, |runtime, round| {
        let (id, exec) = (runtime.name(), format!("exec-{round}"));
        let whole = ctr.command(["task", "exec", "--exec-id", &exec, id, "true"]);
        let whole = whole.check()?.elapsed;
        let api = Api::connect(ctr, id)?;
        let started = Instant::now();
        api.exec(&exec)?;
        let asked = started.elapsed();
        let times = |command: &str| {
            let line = format!("for _ in $(seq 5); do ended=$({command}) || exit; done");
            Ok::<_, anyhow::Error>(milliseconds(ctr.host().shell(&line)?.elapsed))
        };
        let exec = format!("runc --root /run/containerd/runc/default exec --detach {id} true");
        let runc = (times(&exec)? - times(":")?) / 5.0;
        Ok([milliseconds(whole), milliseconds(asked), runc])
    })?;
    Figure::of("`ctr task exec … true`", "ms", &whole, None).print();
    let asked = Figure::of(
        "exec, start, wait, delete at the shim's socket",
        "ms",
        &asked,
        None,
    );
    asked.print();
    let runc = median(&runc.concat());
    println!(
        "| `runc exec --detach … true` alone, until `true` has ended, ms | {runc:.1} | {runc:.1} | | | {} |",
        asked.rounds
    );
    Figure {
        what: "the exec at the socket above that",
        values: asked.values.map(|value| value - runc),
        aim: Some(Aim::Ratio(0.5)),
        ..asked
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

//! The way of a workload: there, and back.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use remap_test::Ctr;

use super::expectation::{Outcome, Stock};
use super::ground::{self, Ground, ID};
use super::report;
use super::workload::Workload;
use crate::context::Context;

const IMAGE: &str = "remap.test/fidelity-checkpoint:1";

/// A host with what the container needs there.
struct Place<'h> {
    ctr: Ctr<'h>,
    ground: Ground<'h>,
}

/// How far a container came.
enum Reached {
    /// It was restored and is what it was.
    There,
    /// No checkpoint could be taken.
    NoDump(anyhow::Error),
    /// The checkpoint could not be restored.
    NoRestore(anyhow::Error),
    /// It is something else.
    Differs(anyhow::Error),
}

/// Moves the workload as is due for the runtime, notes what came of it, and asserts it.
pub(super) fn perform(context: &Context, workload: &'static Workload) -> Result<()> {
    let a = Place {
        ctr: context.ctr(),
        ground: Ground::lay(context.a(), workload.mounts)?,
    };
    let b = Place {
        ctr: context.ctr_on_b(),
        ground: Ground::lay(context.b(), workload.mounts)?,
    };
    start(context, workload)?;
    (workload.ready)(&a.ctr)?;
    (workload.verify)(&a.ctr).context("before it moves")?;
    let result = if context.runtime().is_ours() {
        ours(context, workload, &a, &b)
    } else {
        stock(context, workload, &a, &b)
    };
    // Whatever came of it; the hosts have to be clean for the next.
    for place in [&a, &b] {
        place.ctr.remove(ID)?;
        if place.ctr.images()?.iter().any(|image| image == IMAGE) {
            place.ctr.remove_image(IMAGE)?;
        }
    }
    result
}

fn start(context: &Context, workload: &Workload) -> Result<()> {
    let image = (workload.image)(context)?;
    let run = context.ctr().run(context.runtime(), image, ID);
    let run = ground::mount(run, workload.mounts).flag(workload.flags.iter().copied());
    let annotations = workload.annotations.iter();
    annotations
        .fold(run, |run, (key, value)| run.annotation(key, value))
        .args(workload.args())
        .start()
}

/// With our shim it goes there and back, or is refused and goes on.
fn ours(context: &Context, workload: &Workload, a: &Place, b: &Place) -> Result<()> {
    let expected = workload.expected.ours(context.flavour());
    let there = go(context, workload, a, b)?;
    let reached = match there {
        Reached::There => go(context, workload, b, a)?,
        other => other,
    };
    report::note(context, workload, &reached.text());
    match (expected, reached) {
        (Outcome::Works, Reached::There) => {
            for place in [a, b] {
                place.ground.expect_no_leftovers()?;
            }
            Ok(())
        }
        (Outcome::Refused(part), Reached::NoDump(error)) => {
            let said = format!("{error:#}");
            ensure!(said.contains(part), "no {part:?} in {said}");
            (workload.verify)(&a.ctr).context("after it was refused")
        }
        (expected, Reached::There) => bail!("it moves there and back, and not: {expected:?}"),
        (_, Reached::NoDump(error)) => Err(error.context("no checkpoint")),
        (_, Reached::NoRestore(error)) => Err(error.context("no restore")),
        (_, Reached::Differs(error)) => Err(error.context("it is not what it was")),
    }
}

/// With the stock shim it goes there.
fn stock(context: &Context, workload: &Workload, a: &Place, b: &Place) -> Result<()> {
    let expected = workload.expected.stock(context.flavour());
    let reached = go(context, workload, a, b)?;
    report::note(context, workload, &reached.text());
    let is = match &reached {
        Reached::There => Stock::Works,
        Reached::NoDump(_) => Stock::NoDump,
        Reached::NoRestore(_) => Stock::NoRestore,
        Reached::Differs(_) => Stock::Differs,
    };
    ensure!(
        is == expected,
        "with the stock shim: {is}, and not {expected}: {}",
        reached.text()
    );
    Ok(())
}

/// One way. What fails there besides checkpoint, restore and comparison is an error.
fn go(context: &Context, workload: &Workload, from: &Place, to: &Place) -> Result<Reached> {
    let archive = format!("{}/checkpoint.tar", context.dir()?);
    if let Err(error) = from.ctr.checkpoint(ID, IMAGE) {
        return Ok(Reached::NoDump(by_criu(&from.ctr, "criu-dump.log", error)));
    }
    from.ctr.remove(ID)?;
    to.ground.renew()?;
    from.ground.send_volumes(context, &to.ground)?;
    from.ground.renew()?;
    from.ctr.export_checkpoint(IMAGE, &archive)?;
    from.ctr.remove_image(IMAGE)?;
    let (source, target) = (from.ground.host(), to.ground.host());
    context
        .link()
        .copy_file(source, &archive, target, &archive)?;
    source.shell(&format!("rm {archive}"))?;
    to.ctr.import_checkpoint(&archive)?;
    target.shell(&format!("rm {archive}"))?;
    let restored = to.ctr.restore(ID, IMAGE);
    to.ctr.remove_image(IMAGE)?;
    if let Err(error) = restored {
        return Ok(Reached::NoRestore(by_criu(
            &to.ctr,
            "work/restore.log",
            error,
        )));
    }
    Ok(match (workload.verify)(&to.ctr) {
        Ok(()) => Reached::There,
        Err(error) => Reached::Differs(error),
    })
}

/// The stock shim's errors do not say why; CRIU's `log` in the bundle does, first of all.
fn by_criu(ctr: &Ctr, log: &str, error: anyhow::Error) -> anyhow::Error {
    let path = format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}/{log}");
    // Without CAP_SYS_RESOURCE CRIU cannot raise a limit of its own, which is no harm.
    // By the host itself: `work` is an absolute symbolic link.
    let output = ctr
        .host()
        .command("grep")
        .args(["-m1", "-P", "Error(?!.*rlimit)", &path])
        .run();
    let line = output.map(|output| output.text().into_owned());
    match line.unwrap_or_default().split_once("): ") {
        Some((_, reason)) if !ctr.is_ours(ID) => anyhow!("{error:#}\n  stderr: {reason}"),
        _ => error,
    }
}

impl Reached {
    /// As the table has it.
    fn text(&self) -> String {
        match self {
            Self::There => Stock::Works.to_string(),
            Self::NoDump(error) => {
                let reason = reason(error);
                match reason.split_once("this container cannot be checkpointed: ") {
                    Some((_, why)) => format!("refused: {why}"),
                    None => format!("{}: {reason}", Stock::NoDump),
                }
            }
            Self::NoRestore(error) => format!("{}: {}", Stock::NoRestore, reason(error)),
            Self::Differs(error) => format!("{}: {}", Stock::Differs, reason(error)),
        }
    }
}

/// What a failure says after the command line.
fn reason(error: &anyhow::Error) -> String {
    let said = format!("{error:#}");
    match said.rsplit_once("stderr: ") {
        Some((_, reason)) => reason.to_owned(),
        None => said,
    }
}

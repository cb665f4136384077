//! The way of a workload: there, and back.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use remap_test::Ctr;

use super::expectation::{Outcome, Stock};
use super::ground::{self, Ground};
use super::report;
use super::workload::Workload;
use crate::context::Context;

/// The containers of a workload, in an order.
type Ids = Vec<&'static str>;

/// The image with the checkpoint of a container.
fn image(id: &str) -> String {
    format!("remap.test/checkpoint-of-{id}:1")
}

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

/// What is under way.
struct Passage<'c> {
    context: &'c Context<'c>,
    workload: &'static Workload,
    /// Its containers, in the order in which they are started, and move first.
    ids: Ids,
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
    let passage = Passage {
        context,
        workload,
        ids: start(context, workload)?,
    };
    for id in &passage.ids {
        (workload.ready)(&a.ctr, id)?;
    }
    passage.verify(&a).context("before it moves")?;
    let result = if context.runtime().is_ours() {
        passage.ours(&a, &b)
    } else {
        passage.stock(&a, &b)
    };
    // Whatever came of it; the hosts have to be clean for the next.
    for place in [&a, &b] {
        let known = place.ctr.images()?;
        for id in &passage.ids {
            place.ctr.remove(id)?;
            if known.contains(&image(id)) {
                place.ctr.remove_image(&image(id))?;
            }
        }
    }
    result
}

/// Starts its containers on host a. If there are two, each is declared to move with the other.
fn start(context: &Context, workload: &Workload) -> Result<Ids> {
    let image = (workload.image)(context)?;
    let containers = workload.containers();
    let ids: Ids = containers.iter().map(|(id, _)| *id).collect();
    for (id, args) in containers {
        let run = context.ctr().run(context.runtime(), image, id);
        let run = ground::mount(run, workload.mounts).flag(workload.flags.iter().copied());
        let others = ids.iter().filter(|other| **other != id);
        let others = others.map(|other| ("io.remap.moves-with", *other));
        others
            .chain(workload.annotations.iter().copied())
            .fold(run, |run, (key, value)| run.annotation(key, value))
            .args(args)
            .start()?;
    }
    Ok(ids)
}

impl Passage<'_> {
    /// With our shim it goes there and back, the second time in the other order, or is refused and
    /// goes on.
    fn ours(&self, a: &Place, b: &Place) -> Result<()> {
        let expected = self.workload.expected.ours(self.context.flavour());
        let there = self.go(&self.ids, a, b)?;
        let reached = match there {
            Reached::There => {
                let other_order: Ids = self.ids.iter().rev().copied().collect();
                self.go(&other_order, b, a)?
            }
            other => other,
        };
        report::note(self.context, self.workload, &reached.text());
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
                self.verify(a).context("after it was refused")
            }
            (expected, Reached::There) => {
                bail!("it moves there and back, and not: {expected:?}")
            }
            (_, Reached::NoDump(error)) => Err(error.context("no checkpoint")),
            (_, Reached::NoRestore(error)) => Err(error.context("no restore")),
            (_, Reached::Differs(error)) => Err(error.context("it is not what it was")),
        }
    }

    /// With the stock shim it goes there.
    fn stock(&self, a: &Place, b: &Place) -> Result<()> {
        let expected = self.workload.expected.stock(self.context.flavour());
        let reached = self.go(&self.ids, a, b)?;
        report::note(self.context, self.workload, &reached.text());
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

    /// One way, in this order. What fails there besides checkpoint, restore and comparison is an
    /// error.
    fn go(&self, ids: &[&str], from: &Place, to: &Place) -> Result<Reached> {
        if ids.len() > 1 && self.context.runtime().is_ours() {
            // What moves together stands still together. With the stock shim a checkpoint fails if
            // it cannot pause the container itself.
            ids.iter().try_for_each(|id| from.ctr.pause(id))?;
        }
        for id in ids {
            if let Err(error) = from.ctr.checkpoint(id, &image(id)) {
                let error = by_criu(&from.ctr, id, "criu-dump.log", error);
                return Ok(Reached::NoDump(error));
            }
        }
        ids.iter().try_for_each(|id| from.ctr.remove(id))?;
        to.ground.renew()?;
        from.ground.send_volumes(self.context, &to.ground)?;
        from.ground.renew()?;
        for id in ids {
            carry_over(self.context, id, from, to)?;
        }
        for id in ids {
            let restored = to.ctr.restore(id, &image(id));
            to.ctr.remove_image(&image(id))?;
            if let Err(error) = restored {
                let error = by_criu(&to.ctr, id, "work/restore.log", error);
                return Ok(Reached::NoRestore(error));
            }
        }
        Ok(match self.verify(to) {
            Ok(()) => Reached::There,
            Err(error) => Reached::Differs(error),
        })
    }

    /// Asks each container.
    fn verify(&self, place: &Place) -> Result<()> {
        let mut ids = self.ids.iter();
        ids.try_for_each(|id| (self.workload.verify)(&place.ctr, id))
    }
}

/// Takes the checkpoint of a container to the other host.
fn carry_over(context: &Context, id: &str, from: &Place, to: &Place) -> Result<()> {
    let archive = format!("{}/{id}.tar", context.dir()?);
    from.ctr.export_checkpoint(&image(id), &archive)?;
    from.ctr.remove_image(&image(id))?;
    let (source, target) = (from.ground.host(), to.ground.host());
    context
        .link()
        .copy_file(source, &archive, target, &archive)?;
    source.shell(&format!("rm {archive}"))?;
    to.ctr.import_checkpoint(&archive)?;
    target.shell(&format!("rm {archive}"))?;
    Ok(())
}

/// The stock shim's errors do not say why; CRIU's `log` in the bundle does, first of all.
fn by_criu(ctr: &Ctr, id: &str, log: &str, error: anyhow::Error) -> anyhow::Error {
    let path = format!("/run/containerd/io.containerd.runtime.v2.task/default/{id}/{log}");
    // Without CAP_SYS_RESOURCE CRIU cannot raise a limit of its own, which is no harm.
    // By the host itself: `work` is an absolute symbolic link.
    let output = ctr
        .host()
        .command("grep")
        .args(["-m1", "-P", "Error(?!.*rlimit)", &path])
        .run();
    let line = output.map(|output| output.text().into_owned());
    match line.unwrap_or_default().split_once("): ") {
        Some((_, reason)) if !ctr.is_ours(id) => anyhow!("{error:#}\n  stderr: {reason}"),
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
                    // Not who has it, and what to do about it.
                    Some((_, why)) => {
                        let what = why.split(": ").next().unwrap_or(why);
                        format!("refused: {what}")
                    }
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

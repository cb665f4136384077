//! What annotations say about checkpoints: policies of mounts, limits, options.

mod limits;
mod mounts;
mod options;
mod tcp;
mod wrong;

use anyhow::{Context as _, Result, ensure};
use remap_test::ctr::{Run, Status};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Flavour, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::workload::{ID, LIMIT};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("policy::carry", mounts::carry).runtimes(REMAP),
    Scenario::new("policy::target_has_its_own", mounts::target_has_its_own).runtimes(REMAP),
    Scenario::new("policy::refuse", mounts::refuse).runtimes(REMAP),
    Scenario::new("policy::wrong_at_create", wrong::at_create).runtimes(REMAP),
    Scenario::new("policy::wrong_for_the_mounts", wrong::for_the_mounts).runtimes(REMAP),
    Scenario::new("policy::limits", limits::limits).runtimes(&[Runtime::DropIn]),
    Scenario::new("policy::exit", options::exit).runtimes(&[Runtime::Remap, Runtime::DropIn]),
    Scenario::new("policy::file_locks", options::file_locks).runtimes(&[Runtime::DropIn]),
    // CRIU 4.1 cannot dump network sockets on new kernels.
    Scenario::new("policy::tcp_close", tcp::close)
        .flavours(&[Flavour::Forky])
        .runtimes(&[Runtime::Remap, Runtime::DropIn]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/policy:1";

const MOUNTS: &str = "io.remap.mounts";

/// A container with busybox, on host a.
fn busybox<'h>(context: &Context<'h>) -> Run<'h> {
    context.ctr().run(context.runtime(), BUSYBOX_IMAGE, ID)
}

/// Starts a container that makes `/ready` when it is.
fn start(context: &Context, run: Run<'_>) -> Result<()> {
    run.start()?;
    wait_for_file(&context.ctr(), "/ready")
}

fn wait_for_file(ctr: &Ctr, path: &str) -> Result<()> {
    let there = || Ok(ctr.exec(ID, &["test", "-e", path])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, there)?, "there is no {path}");
    Ok(())
}

/// What a line of shell in the container says must be `expected`.
fn expect(ctr: &Ctr, line: &str, expected: &str) -> Result<()> {
    let output = ctr.exec(ID, &["sh", "-c", line])?.ok()?;
    let seen = output.text();
    ensure!(seen == expected, "{line:?} says {seen:?}, not {expected:?}");
    Ok(())
}

/// What failed says each of `parts`, and the container runs.
fn expect_refusal(ctr: &Ctr, result: Result<()>, parts: &[&str]) -> Result<()> {
    let error = result.err().context("it is not refused")?.to_string();
    for part in parts {
        ensure!(error.contains(part), "no {part:?} in {error}");
    }
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    Ok(())
}

/// What `remapctl plan` prints has each of `parts`, whatever its lines.
fn expect_plan(ctr: &Ctr, parts: &[&str]) -> Result<()> {
    let output = ctr.host().command("remapctl").args(["plan", ID]).run()?;
    let text = output.text();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        ensure!(words.contains(part), "no {part:?} in\n{text}");
    }
    Ok(())
}

/// Moves the container from host a to host b.
fn move_to_b(context: &Context) -> Result<()> {
    let archive = format!("{}/checkpoint.tar", context.dir()?);
    let (a, b) = (context.ctr(), context.ctr_on_b());
    a.checkpoint(ID, IMAGE)?;
    a.remove(ID)?;
    a.export_checkpoint(IMAGE, &archive)?;
    a.remove_image(IMAGE)?;
    context
        .link()
        .copy_file(a.host(), &archive, b.host(), &archive)?;
    b.import_checkpoint(&archive)?;
    b.restore(ID, IMAGE)?;
    b.remove_image(IMAGE)
}

//! `remapctl checkpoint` and `remapctl restore`: a container moves as one file or directory.

mod faults;
mod moves;
mod pipeline;

use anyhow::{Context as _, Result, ensure};
use remap_test::exec::Output;
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Ctr, Flavour, Host, Runtime, wait};
use serde_json::Value;

use crate::context::Context;
use crate::scenario::Scenario;
use crate::workload::LIMIT;

/// See [`crate::SCENARIOS`]. That stock tools fail with the same workloads: [`crate::stock`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("tool::moves_directory", |context| {
        moves::there_and_back(context, &["--form", "dir"])
    })
    .runtimes(REMAP),
    Scenario::new("tool::moves_oci", |context| {
        moves::there_and_back(context, &[])
    })
    .runtimes(&[Runtime::Remap, Runtime::DropIn])
    .flavours(&Flavour::ALL),
    Scenario::new("tool::moves_registry", |context| {
        moves::there_and_back(context, &["--form", "registry", "--zstd"])
    })
    .runtimes(REMAP),
    Scenario::new("tool::moves_podman", |context| {
        moves::there_and_back(context, &["--form", "podman", "--zstd=3"])
    })
    .runtimes(REMAP),
    Scenario::new("tool::converted", moves::converted).runtimes(REMAP),
    Scenario::new("tool::clone", moves::clone).runtimes(REMAP),
    Scenario::new("tool::pipeline", pipeline::jobs).runtimes(REMAP),
    Scenario::new("tool::refused", faults::refused).runtimes(REMAP),
    Scenario::new("tool::no_room", faults::no_room).runtimes(REMAP),
    Scenario::new("tool::interrupted", faults::interrupted).runtimes(REMAP),
    Scenario::new("tool::lacking", faults::lacking).runtimes(REMAP),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

/// Counts in a file of its root file system, four times a second.
const COUNT: &str = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.05; done";

/// Runs `remapctl` on `host`.
fn remapctl(host: &Host, args: &[&str]) -> Result<Output> {
    host.command("remapctl").args(args).run()
}

/// What it prints with `--json`.
fn told(host: &Host, args: &[&str]) -> Result<Value> {
    let output = remapctl(host, &[args, &["--json"]].concat())?.ok()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("remapctl {args:?}"))
}

/// Starts a container that counts, and waits until it does.
fn start_counting(context: &Context, id: &str) -> Result<()> {
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), BUSYBOX_IMAGE, id);
    run.shell(COUNT).start()?;
    expect_counting(&ctr, id, 5)
}

/// How far it has counted. While it is checkpointed nobody can look, and while it writes nothing is there.
fn counted(ctr: &Ctr, id: &str) -> Result<u64> {
    let mut count = None;
    let look = || {
        let output = ctr.exec(id, &["cat", "/count"])?;
        count = output.text().trim().parse().ok();
        Ok(count.is_some())
    };
    wait::until(LIMIT, look)?;
    count.with_context(|| format!("{id} does not count"))
}

/// It must count on from `count`.
fn expect_counting(ctr: &Ctr, id: &str, count: u64) -> Result<()> {
    let beyond = || Ok(counted(ctr, id).is_ok_and(|now| now > count));
    ensure!(
        wait::until(LIMIT, beyond)?,
        "{id} does not count on from {count}"
    );
    Ok(())
}

/// It must have failed with the exit code, and say so.
fn expect_failure(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "it ended with {}, not {code}: {said}",
        output.status
    );
    for word in words {
        ensure!(said.contains(word), "it does not say {word:?}: {said}");
    }
    Ok(())
}

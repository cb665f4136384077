//! The fidelity suite: containers that hold one thing each move to a host with which they share
//! nothing, and back, and must have it as it was; or they are refused, with a reason that is
//! asserted. With the stock shim each goes there once, which shows what only this project can do.
//!
//! The table is made of [`Workload`]s, in the files of this directory; every entry is a scenario
//! `fidelity::NAME`. To add one: put it into the list of a file, which is named in [`TABLES`]. Its
//! program is a workload of `test/fidelity`, or anything else with an image, a start and a way to be
//! asked ([`Workload::image`], [`Workload::command`], [`Workload::ready`], [`Workload::verify`]). It
//! may have a second container that moves with the first: [`Workload::partner`].
//!
//! What came of it is written as a table at the end of the run: [`report`].

mod beside;
mod carried;
mod expectation;
mod ghosts;
mod ground;
mod kernel;
mod passage;
mod plain;
mod refused;
pub(crate) mod report;
mod semaphores;
mod software;
mod table;
mod workload;

use anyhow::Result;

use crate::context::Context;
use crate::scenario::Scenario;
pub(crate) use expectation::{Outcome, Stock};
pub(crate) use ground::{Mount, Source};
pub(crate) use workload::{Class, Workload};

/// All entries, in the order of the report.
const TABLES: &[&[Workload]] = &[
    plain::WORKLOADS,
    semaphores::WORKLOADS,
    carried::WORKLOADS,
    ghosts::WORKLOADS,
    beside::WORKLOADS,
    kernel::WORKLOADS,
    refused::WORKLOADS,
    software::WORKLOADS,
];

const COUNT: usize = table::count(TABLES);

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &table::scenarios::<COUNT>(TABLES, perform);

/// The entry by the scenario's name.
fn perform(context: &Context) -> Result<()> {
    let workload = table::find(TABLES, context.name())?;
    passage::perform(context, workload)
}

//! The stock shim and ours, called in the same way by the test itself: what they answer, publish, and
//! do must be the same, but for what is listed as better, each with the reason.
//!
//! A case is a function that makes calls on one shim; every call is noted by itself ([`run::Run`]).
//! It is performed with both shims one after the other, and the notes are held against each other.
//! To add a case: put it into the list of a file of this directory.

mod create;
pub(crate) mod events;
mod exec;
mod info;
mod io;
mod kill;
mod life;
mod log;
mod newer;
mod notes;
mod restore;
mod run;
pub(crate) mod shim;
mod start;
mod steps;
mod streams;
mod task;

use anyhow::{Context as _, Result, bail};
use remap_test::{Flavour, Runtime};

use self::notes::Note;
use self::run::Run;
use self::shim::Shim;
use crate::context::Context;
use crate::scenario::Scenario;

/// Ours, beside it.
pub(crate) const OURS: &str = "/opt/remap/bin/containerd-shim-remap-v2";

/// How often the stock shim may try to do as ours does.
const STOCK_ATTEMPTS: u32 = 3;

/// Something that a shim must do as the other does.
#[derive(Clone, Copy)]
struct Case {
    /// As `parity::file::what`.
    name: &'static str,
    /// Makes the calls.
    perform: fn(&mut Run) -> Result<()>,
    /// Where we differ on purpose.
    better: &'static [Better],
    /// It is about what only containerd 2.3 has.
    is_newer: bool,
}

/// A difference that is wanted.
#[derive(Clone, Copy)]
struct Better {
    /// The labels of the notes that differ.
    labels: &'static [&'static str],
    /// On which flavours: the stock shims differ, too.
    on: &'static [Flavour],
    /// Why it is better.
    reason: &'static str,
}

impl Case {
    const fn new(name: &'static str, perform: fn(&mut Run) -> Result<()>) -> Self {
        Self {
            name,
            perform,
            better: &[],
            is_newer: false,
        }
    }

    /// Only on containerd 2.3, and not only in a full run.
    const fn newer(mut self) -> Self {
        self.is_newer = true;
        self
    }

    const fn better(mut self, better: &'static [Better]) -> Self {
        self.better = better;
        self
    }
}

/// All cases.
const CASES: &[&[Case]] = &[
    start::CASES,
    create::CASES,
    life::CASES,
    task::CASES,
    kill::CASES,
    exec::CASES,
    io::CASES,
    info::CASES,
    newer::CASES,
    restore::CASES,
];

/// A scenario for each case.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let all = CASES.iter().copied().flatten();
    let scenario = |case: &Case| {
        let scenario = Scenario::new(case.name, perform).runtimes(&[Runtime::Remap]);
        if case.is_newer {
            return scenario.flavours(&[Flavour::Forky23]);
        }
        scenario.flavours(&Flavour::ALL).full()
    };
    all.map(scenario).collect()
}

/// The case by the scenario's name, `FLAVOUR::NAME::RUNTIME`.
fn perform(context: &Context) -> Result<()> {
    let mut all = CASES.iter().copied().flatten();
    let name = context.name();
    let case = all.find(|case| {
        let rest = name.split_once("::").map_or(name, |(_, rest)| rest);
        rest.rsplit_once("::")
            .is_some_and(|(rest, _)| rest == case.name)
    });
    let case = case.with_context(|| format!("no case is called {name}"))?;
    let ours = notes(context, case, OURS).context("our shim")?;
    // The stock shim now and then loses an event: only what it does each time counts. Ours has one try.
    let mut result = Ok(());
    for _ in 0..STOCK_ATTEMPTS {
        let stock =
            notes(context, case, context.flavour().stock_shim()).context("the stock shim")?;
        result = compare(context.flavour(), case, &stock, &ours);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn notes(context: &Context, case: &Case, program: &'static str) -> Result<Vec<Note>> {
    let dir = context.dir()?;
    let mut run = Run::new(Shim::prepare(context.a(), program, &dir)?);
    let performed = (case.perform)(&mut run);
    let log = run.shim.log();
    let notes = run.end();
    performed.with_context(|| format!("its log: {log}"))?;
    Ok(notes?.into_lines())
}

/// Holds the notes of each label against each other.
fn compare(flavour: Flavour, case: &Case, stock: &[Note], ours: &[Note]) -> Result<()> {
    let mut labels: Vec<&str> = Vec::new();
    for note in stock.iter().chain(ours) {
        if !labels.contains(&note.label.as_str()) {
            labels.push(&note.label);
        }
    }
    let better = case.better.iter();
    let better: Vec<&Better> = better.filter(|one| one.on.contains(&flavour)).collect();
    let mut wrong = Vec::new();
    for one in &better {
        for label in one.labels {
            if values(stock, label) == values(ours, label) {
                let reason = one.reason;
                wrong.push(format!("{label}: ours should be better: {reason}"));
            }
        }
    }
    for label in labels {
        let is_wanted = better.iter().any(|one| one.labels.contains(&label));
        if is_wanted || values(stock, label) == values(ours, label) {
            continue;
        }
        for (whose, notes) in [("stock", stock), ("ours", ours)] {
            for note in notes.iter().filter(|note| note.label == label) {
                let Note { value, said, .. } = note;
                wrong.push(format!("{label}, {whose}: {value} {said}"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n"))
}

fn values<'n>(notes: &'n [Note], label: &str) -> Vec<&'n str> {
    let notes = notes.iter().filter(|note| note.label == label);
    notes.map(|note| note.value.as_str()).collect()
}

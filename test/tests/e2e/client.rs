//! containerd's own client integration tests, with our shim in the stock one's place and with the
//! stock one.
//!
//! `test/client-tests.txt` lists them all. What it has as run has to pass with either shim; what
//! it has as skipped cannot pass in these hosts, whatever the shim, and has to fail by the error
//! that stands there. What it has as unsteady is left out.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use remap_test::client_suite::{Choice, Outcome, Verdict};
use remap_test::{ClientSuite, Flavour, Runtime};

use crate::context::Context;
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("client::quick", quick)
        .runtimes(&[Runtime::DropIn])
        .flavours(&[Flavour::Forky23]),
    Scenario::new("client::all", all)
        .runtimes(&[Runtime::Stock, Runtime::DropIn])
        .flavours(&[Flavour::Forky23])
        .full(),
];

const LIST: &str = include_str!("../../client-tests.txt");

/// What is to become of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// It is run every time.
    Run,
    /// It is run in a full run: it takes long, or has a limit that a busy machine may miss.
    Full,
    /// It does not pass, and says this.
    Skip(&'static str),
    /// Whether it passes is chance, with either shim.
    Unsteady,
}

fn list() -> Result<Vec<(&'static str, Plan)>> {
    let lines = LIST.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &'static str| {
        let (name, plan) = line.split_once(' ').unwrap_or((line, ""));
        let plan = match plan.trim_start() {
            "run" => Plan::Run,
            "full" => Plan::Full,
            other => match other.split_once(": ") {
                Some(("skip", why)) => Plan::Skip(why),
                Some(("unsteady", _)) => Plan::Unsteady,
                _ => bail!("the list of client tests has a line that is not understood: {line}"),
            },
        };
        Ok((name, plan))
    };
    lines.map(entry).collect()
}

fn quick(context: &Context) -> Result<()> {
    let (quick, _): (Vec<_>, Vec<_>) = list()?
        .into_iter()
        .partition(|(_, plan)| *plan == Plan::Run);
    run(context, &quick, &Choice::Only(&names(&quick)))
}

/// Also those that are skipped, and any that the list does not know.
fn all(context: &Context) -> Result<()> {
    let is_unsteady = |one: &(&str, Plan)| one.1 == Plan::Unsteady;
    let (unsteady, others): (Vec<_>, Vec<_>) = list()?.into_iter().partition(is_unsteady);
    run(context, &others, &Choice::AllBut(&names(&unsteady)))
}

fn names(list: &[(&'static str, Plan)]) -> Vec<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

fn run(context: &Context, list: &[(&str, Plan)], choice: &Choice) -> Result<()> {
    let suite = ClientSuite::prepare(context.a(), context.tree())?;
    hold(list, &suite.run(context.runtime(), choice)?)
}

/// Holds the list against what became of the tests.
fn hold(list: &[(&str, Plan)], outcomes: &[Outcome]) -> Result<()> {
    let known: BTreeSet<&str> = list.iter().map(|(name, _)| *name).collect();
    let mut wrong: Vec<String> = outcomes
        .iter()
        .filter(|one| !known.contains(one.name.as_str()))
        .map(|one| format!("{} is not in the list", one.name))
        .collect();
    for (name, plan) in list {
        let outcome = outcomes.iter().find(|one| one.name == *name);
        let outcome = outcome.with_context(|| format!("{name} was not run"))?;
        let is_right = match plan {
            Plan::Run | Plan::Full => outcome.verdict == Verdict::Passed,
            Plan::Unsteady => true,
            Plan::Skip(why) => outcome.verdict != Verdict::Passed && outcome.said.contains(why),
        };
        if !is_right {
            let Outcome { verdict, said, .. } = outcome;
            wrong.push(format!("{name}: {verdict:?}: {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

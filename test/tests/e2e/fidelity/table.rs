//! From entries to scenarios and back.

use anyhow::{Context as _, Result};
use remap_test::Runtime;

use super::Workload;
use crate::context::Context;
use crate::scenario::Scenario;

const RUNTIMES: &[Runtime] = &[Runtime::Stock, Runtime::Remap];

/// How many entries there are.
pub(super) const fn count(tables: &[&[Workload]]) -> usize {
    let (mut all, mut table) = (0, 0);
    while table < tables.len() {
        all += tables[table].len();
        table += 1;
    }
    all
}

/// A scenario for each entry.
pub(super) const fn scenarios<const COUNT: usize>(
    tables: &[&[Workload]],
    perform: fn(&Context) -> Result<()>,
) -> [Scenario; COUNT] {
    let mut scenarios = [Scenario::new("", perform); COUNT];
    let (mut all, mut table) = (0, 0);
    while table < tables.len() {
        let mut entry = 0;
        while entry < tables[table].len() {
            let workload = &tables[table][entry];
            let scenario = Scenario::new(workload.scenario, perform).runtimes(RUNTIMES);
            scenarios[all] = if workload.by_default {
                scenario
            } else {
                scenario.full()
            };
            all += 1;
            entry += 1;
        }
        table += 1;
    }
    scenarios
}

/// The entry whose scenario has the name `FLAVOUR::SCENARIO::RUNTIME`.
pub(super) fn find(tables: &[&'static [Workload]], name: &str) -> Result<&'static Workload> {
    let mut all = tables.iter().copied().flatten();
    let is_it = |workload: &&Workload| {
        let rest = name
            .split_once("::")
            .map_or(name, |(_, rest)| rest)
            .strip_prefix(workload.scenario);
        rest.is_some_and(|rest| rest.starts_with("::") && rest.matches("::").count() == 1)
    };
    all.find(is_it)
        .with_context(|| format!("no workload is called {name}"))
}

//! Scenarios in a virtual machine with Debian's kernel, systemd and nothing but cgroup v2, which
//! many have and the kernel here has not.
//!
//! In the machine runs this very program, with the same hosts as here, made in the machine. It starts
//! once for each flavour with all scenarios that are asked for, and each is a test here,
//! `FLAVOUR::vm::NAME`, that tells what came of it there.

mod guest;
mod report;
mod voice;

use std::collections::BTreeMap;
use std::env;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use remap_test::Flavour;

use self::report::Outcome;
use crate::{scenario, skips};

/// What is run there, without the flavour: what has to do with control groups, and what this project
/// is for. About half a minute each, of the processor's time.
const SCENARIOS: &[&str] = &[
    guest::COMMANDS,
    "oom::after_restore::remap",
    "machine::figures::stock",
    "machine::figures::remap",
    "machine::stopped::remap",
    "beside::original::remap",
    "migration::demo::remap",
    "stock::demo::stock",
    "fidelity::locks_mapped::remap",
    "options::parent_path::remap",
    "machine::systemd::remap",
    "machine::systemd_stock::stock",
    "machine::systemd_beside::remap",
];

/// The environment variable that holds the names of what this program is to run in a machine.
const ASKED_FOR_VARIABLE: &str = "REMAP_TEST_IN_MACHINE";

/// What came of the scenarios in the machine of each flavour, by their names there, or why the machine
/// has failed.
type Outcomes = Result<BTreeMap<String, Outcome>, String>;
static OUTCOMES: Mutex<BTreeMap<&str, Outcomes>> = Mutex::new(BTreeMap::new());

/// The names of the scenarios to be run, if this program runs in a machine.
pub(crate) fn asked_for() -> Option<Vec<String>> {
    let names = env::var(ASKED_FOR_VARIABLE).ok()?;
    Some(names.split_whitespace().map(str::to_owned).collect())
}

/// The tests, if this is a full run or a filter asks for them.
pub(crate) fn trials(arguments: &Arguments) -> Vec<Trial> {
    let wanted = arguments.filter.as_deref();
    if !scenario::is_full() && !wanted.is_some_and(|filter| filter.contains("vm::")) {
        return Vec::new();
    }
    Flavour::ALL
        .into_iter()
        .flat_map(|flavour| {
            let names: Vec<&str> = SCENARIOS
                .iter()
                .copied()
                .filter(|name| wanted.is_none_or(|part| here(flavour, name).contains(part)))
                .collect();
            let test = move |&name: &&'static str| trial(flavour, name, names.clone());
            SCENARIOS.iter().map(test).collect::<Vec<_>>()
        })
        .collect()
}

/// The name of a test here.
fn here(flavour: Flavour, name: &str) -> String {
    format!("{flavour}::vm::{name}")
}

/// The test of the scenario `name`; the first one runs all of `names`.
fn trial(flavour: Flavour, name: &'static str, names: Vec<&'static str>) -> Trial {
    let here = here(flavour, name);
    Trial::test(here.clone(), move || match outcome(flavour, name, &names) {
        Ok(Outcome::Passed) => Ok(()),
        Ok(Outcome::Skipped(reason)) => {
            skips::note(&here, &reason);
            Ok(())
        }
        Ok(Outcome::Failed(why)) => Err(Failed::from(why)),
        Err(error) => Err(Failed::from(format!("{error:#}"))),
    })
}

fn outcome(flavour: Flavour, name: &str, names: &[&str]) -> Result<Outcome> {
    // Held meanwhile: two emulated machines at a time would only be slow.
    let mut all = OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner);
    let of_flavour = all.entry(flavour.suite()).or_insert_with(|| {
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("{flavour}::{name}"))
            .collect();
        guest::perform(flavour, &names).map_err(|error| format!("{error:#}"))
    });
    let of_flavour = of_flavour.as_ref().map_err(|error| anyhow!("{error}"))?;
    of_flavour
        .get(&format!("{flavour}::{name}"))
        .cloned()
        .context("it was not run in the machine")
}

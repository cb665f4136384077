//! A scenario, and how it becomes a test for each flavour and runtime.

use std::env;
use std::fmt;

use anyhow::Result;
use libtest_mimic::{Failed, Trial};
use remap_test::{Flavour, Runtime};

use crate::context::Context;
use crate::{skips, stage, vm};

/// A function to be run on hosts, and on which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    name: &'static str,
    run: fn(&Context) -> Result<()>,
    runtimes: &'static [Runtime],
    flavours: &'static [Flavour],
    full: bool,
}

impl Scenario {
    /// Run for every suite and runtime, the stock one too, which shows that the
    /// scenario can be passed. `name` has the form `file::function`.
    pub(crate) const fn new(name: &'static str, run: fn(&Context) -> Result<()>) -> Self {
        Self {
            name,
            run,
            runtimes: &Runtime::ALL,
            flavours: &Flavour::SUITES,
            full: false,
        }
    }

    /// Only with these runtimes.
    pub(crate) const fn runtimes(mut self, runtimes: &'static [Runtime]) -> Self {
        self.runtimes = runtimes;
        self
    }

    /// Only on these flavours.
    pub(crate) const fn flavours(mut self, flavours: &'static [Flavour]) -> Self {
        self.flavours = flavours;
        self
    }

    /// Only in a full run, because it takes long.
    pub(crate) const fn full(mut self) -> Self {
        self.full = true;
        self
    }
}

/// Why a scenario was not run to its end, though nothing is wrong.
#[derive(Debug)]
pub(crate) struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skipped {}

/// What a scenario returns where it cannot be run.
pub(crate) fn skip(reason: impl Into<String>) -> Result<()> {
    Err(Skipped(reason.into()).into())
}

/// Whether this is a full run.
pub(crate) fn is_full() -> bool {
    env::var_os("REMAP_TEST_FULL").is_some_and(|value| value == "1")
}

/// The tests of all scenarios: for each flavour, grouped by the way containerd
/// looks shims up, so that it is restarted once.
pub(crate) fn trials<'s>(scenarios: impl Iterator<Item = &'s Scenario> + Clone) -> Vec<Trial> {
    let full = is_full();
    let mut trials = Vec::new();
    for runtime in Runtime::ALL {
        for scenario in scenarios.clone().filter(|scenario| full || !scenario.full) {
            for flavour in Flavour::ALL {
                if scenario.runtimes.contains(&runtime) && scenario.flavours.contains(&flavour) {
                    trials.push(trial(*scenario, flavour, runtime));
                }
            }
        }
    }
    trials
}

fn trial(scenario: Scenario, flavour: Flavour, runtime: Runtime) -> Trial {
    let name = format!("{flavour}::{}::{runtime}", scenario.name);
    Trial::test(name.clone(), move || {
        match stage::perform(flavour, runtime, &name, scenario.run) {
            Ok(()) => Ok(()),
            Err(error) => match error.downcast_ref::<Skipped>() {
                Some(skipped) => {
                    skips::note(&name, &skipped.0);
                    Ok(())
                }
                None => {
                    // Whoever waits for a slow machine wants to know at once.
                    if vm::asked_for().is_some() {
                        eprintln!("{name}: {error:#}");
                    }
                    Err(Failed::from(format!("{error:#}")))
                }
            },
        }
    })
}

//! The scenarios that skipped themselves.

use std::sync::{Mutex, PoisonError};

/// For libtest-mimic these have passed, since it learns before a test whether it is
/// to be run.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that the scenario `name` skipped itself.
pub(crate) fn note(name: &str, reason: &str) {
    let line = format!("skipped {name}: {reason}");
    SKIPPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(line);
}

/// Prints the reasons of skips, a line `skipped NAME: REASON` for each.
pub(crate) fn print() {
    for line in SKIPPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
    {
        println!("{line}");
    }
}

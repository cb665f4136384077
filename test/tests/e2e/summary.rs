//! What is said at the end.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::Conclusion;

/// Scenarios that found out while running that they cannot be run here. For
/// libtest-mimic these have passed.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that the scenario `name` skipped itself.
pub(crate) fn note_skip(name: &str, reason: &str) {
    let line = format!("skipped {name}: {reason}");
    SKIPPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(line);
}

/// Prints the reasons of skips and, last, the line `N passed, N failed, N skipped`.
pub(crate) fn print(conclusion: &Conclusion) -> ExitCode {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    for line in skipped.iter() {
        println!("{line}");
    }
    let count = u64::try_from(skipped.len()).unwrap_or(u64::MAX);
    println!(
        "e2e: {} passed, {} failed, {} skipped",
        conclusion.num_passed.saturating_sub(count),
        conclusion.num_failed,
        conclusion.num_ignored + count
    );
    conclusion.exit_code()
}

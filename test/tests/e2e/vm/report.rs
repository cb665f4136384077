//! What this program says in the machine, taken apart.

use std::collections::BTreeMap;

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// With the reason.
    Skipped(String),
    /// With the error.
    Failed(String),
}

/// Reads the output of a run: what came of each scenario that has ended.
pub(super) fn read(output: &str) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut failed = None;
    for line in output.lines() {
        if let Some((name, end)) = ended(line) {
            let outcome = match end {
                "ok" => Outcome::Passed,
                _ => Outcome::Failed(String::new()),
            };
            outcomes.insert(name.to_owned(), outcome);
        } else if let Some(name) = heading(line) {
            failed = Some(name);
        } else if let Some((name, reason)) = skipped(line) {
            outcomes.insert(name.to_owned(), Outcome::Skipped(reason.to_owned()));
        } else if line == "failures:" || line.starts_with("test result:") {
            failed = None;
        } else if let Some(Outcome::Failed(text)) = failed.and_then(|name| outcomes.get_mut(name)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    outcomes
}

/// Of `test NAME ... ok`; the name is padded.
fn ended(line: &str) -> Option<(&str, &str)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    Some((name.trim_end(), end))
}

/// Of `---- NAME ----`, which begins the error of a scenario.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" ----")
}

/// Of `skipped NAME: REASON`.
fn skipped(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("skipped ")?.split_once(": ")
}

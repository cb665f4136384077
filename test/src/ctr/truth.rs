//! Plan truth: before a checkpoint of a container of our shim `remapctl plan` is asked, and its
//! verdict is held against what happens then. What plan and manifest look like is held against
//! their schemas.
//!
//! What is wrong is noted here and not returned, because a scenario may well expect the checkpoint
//! to fail: see [`take_lies`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::Value;

use super::Ctr;
use super::documents::{self, Place};
use crate::flavour::Flavour;

/// Where containerd keeps the bundles of tasks.
const TASKS: &str = "/run/containerd/io.containerd.runtime.v2.task";

/// So often something is tried that needs a frozen container.
const ATTEMPTS: u32 = 10;

/// What came of all comparisons of this process.
static TALLY: Mutex<Tally> = Mutex::new(Tally {
    worked: 0,
    refused: 0,
    unanswered: 0,
    left_out: BTreeMap::new(),
    lies: Vec::new(),
});

#[derive(Debug)]
struct Tally {
    worked: u32,
    refused: u32,
    unanswered: u32,
    left_out: BTreeMap<&'static str, u32>,
    lies: Vec<(Flavour, String)>,
}

fn tally() -> MutexGuard<'static, Tally> {
    TALLY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `remapctl plan` says of a checkpoint that is about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Works,
    /// With the reasons.
    Refused(String),
    /// With what it says instead.
    NoAnswer(String),
}

/// Takes the comparisons that went wrong on hosts of `flavour`.
#[must_use]
pub fn take_lies(flavour: Flavour) -> Vec<String> {
    let mut tally = tally();
    let taken = tally.lies.extract_if(.., |(of, _)| *of == flavour);
    taken.map(|(_, lie)| lie).collect()
}

/// What was compared, for the end of a run: a line, and one for each reason for which a checkpoint
/// was left out. Nothing if there was no checkpoint at all.
#[must_use]
pub fn summary() -> Option<String> {
    let tally = tally();
    let compared = tally.worked + tally.refused + tally.unanswered;
    if compared == 0 && tally.left_out.is_empty() {
        return None;
    }
    let mut text = format!(
        "plan truth: {compared} checkpoints held against their plans: {} worked as planned, {} were refused as planned, {} could not be planned and failed",
        tally.worked, tally.refused, tally.unanswered
    );
    for (reason, count) in &tally.left_out {
        let _ = write!(text, "\nplan truth: {count} left out: {reason}");
    }
    Some(text)
}

impl Ctr<'_> {
    /// A `ctr` whose checkpoints are not held against their plans, because something happens that
    /// no plan can know: `reason`.
    #[must_use]
    pub fn without_plan(mut self, reason: &'static str) -> Self {
        self.left_out = Some(reason);
        self
    }

    /// Takes a checkpoint of the container `id` into `place` by `take`, for which `options` are the
    /// options of `remapctl plan`; compares if it is a container of our shim.
    pub(super) fn as_planned(
        &self,
        id: &str,
        options: &[&str],
        place: Place<'_>,
        take: impl Fn() -> Result<()>,
    ) -> Result<()> {
        if !self.is_ours(id) {
            return patiently(take);
        }
        if let Some(reason) = self.left_out {
            *tally().left_out.entry(reason).or_default() += 1;
            return take();
        }
        let verdict = self.plan(id, options)?;
        let result = take();
        let outcome = match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        };
        if let Err(lie) = compare(&verdict, outcome) {
            self.note(format!("the plan of {id} was wrong: {lie}"));
        }
        if result.is_ok()
            && let Err(wrong) = self.check_documents(place)
        {
            self.note(format!("the checkpoint of {id} is wrong: {wrong:#}"));
        }
        result
    }

    fn note(&self, lie: String) {
        tally().lies.push((self.host.flavour(), lie));
    }

    /// Whether our shim runs the container: it makes this directory when it creates one.
    #[must_use]
    pub fn is_ours(&self, id: &str) -> bool {
        let own = format!("{TASKS}/{}/{id}/remap", self.namespace);
        self.host.path(Path::new(&own)).is_dir()
    }

    fn plan(&self, id: &str, options: &[&str]) -> Result<Verdict> {
        let command = self.host.command("remapctl");
        let command = command.args(["plan", "--json", "-n", &self.namespace]);
        let output = command.args(options).arg(id).run()?;
        let parsed = || serde_json::from_slice::<Value>(&output.stdout).ok();
        let document = parsed().unwrap_or_default();
        if let Some(Err(wrong)) = document.get("plan").map(documents::check_plan) {
            self.note(format!("what remapctl says of {id} is wrong: {wrong:#}"));
        }
        let verdict = document.get("verdict").and_then(Value::as_str);
        Ok(match (output.exit_code(), verdict) {
            (0, Some("works")) => Verdict::Works,
            (1, Some("refused")) => {
                let refusals = document.get("refusals").unwrap_or(&Value::Null);
                Verdict::Refused(refusals.to_string())
            }
            (code, _) => Verdict::NoAnswer(format!("exit {code}: {}", output.error_text())),
        })
    }
}

/// Does what freezes a container of the stock shim, which does not try again when runc says that it
/// is unable to: on a machine with much to do 0.2 s are not enough with cgroup v1.
pub(super) fn patiently(freeze: impl Fn() -> Result<()>) -> Result<()> {
    let mut result = freeze();
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if format!("{error:#}").contains("unable to freeze") => {}
            _ => break,
        }
        result = freeze();
    }
    result
}

/// Counts what is as planned; what is not is the error.
fn compare(verdict: &Verdict, outcome: Result<(), String>) -> Result<(), String> {
    let mut tally = tally();
    let count = match (verdict, outcome) {
        (Verdict::Works, Ok(())) => &mut tally.worked,
        (Verdict::Refused(_), Err(_)) => &mut tally.refused,
        (Verdict::NoAnswer(_), Err(_)) => &mut tally.unanswered,
        (Verdict::Works, Err(error)) => {
            return Err(format!("it said that it works, and then: {error}"));
        }
        (Verdict::Refused(reasons), Ok(())) => {
            return Err(format!("it was to be refused, and worked: {reasons}"));
        }
        (Verdict::NoAnswer(said), Ok(())) => {
            return Err(format!("there was none, and it worked: {said}"));
        }
    };
    *count += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happens_as_planned_is_the_truth() {
        let refused = Verdict::Refused("[]".into());
        let none = Verdict::NoAnswer("exit 3".into());
        let failed = || Err("why".to_owned());
        assert_eq!(compare(&Verdict::Works, Ok(())), Ok(()));
        assert_eq!(compare(&refused, failed()), Ok(()));
        assert_eq!(compare(&none, failed()), Ok(()));
        assert!(compare(&Verdict::Works, failed()).is_err_and(|lie| lie.ends_with("why")));
        assert!(compare(&refused, Ok(())).is_err());
        assert!(compare(&none, Ok(())).is_err());
        let text = summary().unwrap_or_default();
        assert!(text.contains("3 checkpoints held"), "{text}");
    }
}

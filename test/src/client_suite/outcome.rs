//! What `go test -v` says of its tests.

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Passed,
    /// Not so.
    Failed,
    /// It found that it cannot be run here.
    Skipped,
}

/// A test and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// As `TestContainerStart`; its parts are not listed by themselves.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What it and its parts said.
    pub said: String,
}

/// Reads the output of `go test -v` (testing package: `=== RUN`, `=== CONT` and `=== NAME` say whose
/// lines follow, and `--- PASS:` and the like how a test ended).
pub(super) fn parse(text: &str) -> Vec<Outcome> {
    let mut said: Vec<(&str, String)> = Vec::new();
    let mut verdicts: Vec<(&str, Verdict)> = Vec::new();
    let mut speaker = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("=== ") {
            let name = rest.split_whitespace().nth(1).unwrap_or_default();
            speaker = name.split('/').next().unwrap_or_default();
            continue;
        }
        if let Some((name, verdict)) = ended(line) {
            verdicts.push((name, verdict));
            speaker = "";
            continue;
        }
        match said.iter_mut().find(|(name, _)| *name == speaker) {
            Some((_, lines)) => {
                lines.push('\n');
                lines.push_str(line);
            }
            None => said.push((speaker, line.to_owned())),
        }
    }
    let outcome = |(name, verdict): (&str, Verdict)| {
        let its = said.iter().find(|(speaker, _)| *speaker == name);
        Outcome {
            name: name.to_owned(),
            verdict,
            said: its.map_or_else(String::new, |(_, lines)| lines.clone()),
        }
    };
    verdicts.into_iter().map(outcome).collect()
}

/// The end of a test, but not that of a part of one, whose line is indented.
fn ended(line: &str) -> Option<(&str, Verdict)> {
    let (word, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
    let verdict = match word {
        "PASS" => Verdict::Passed,
        "FAIL" => Verdict::Failed,
        "SKIP" => Verdict::Skipped,
        _ => return None,
    };
    Some((rest.split_whitespace().next()?, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_test_says() {
        let text = "\
=== RUN   TestOne
=== PAUSE TestOne
=== RUN   TestTwo
=== RUN   TestTwo/part
    two_test.go:3: wrong
--- FAIL: TestTwo (0.10s)
    --- FAIL: TestTwo/part (0.10s)
=== CONT  TestOne
=== RUN   TestThree
=== NAME  TestOne
    one_test.go:7: fine
--- PASS: TestOne (1.00s)
--- SKIP: TestThree (0.00s)
FAIL
";
        let outcomes = parse(text);
        let verdicts: Vec<_> = outcomes
            .iter()
            .map(|one| (one.name.as_str(), one.verdict))
            .collect();
        assert_eq!(
            verdicts,
            [
                ("TestTwo", Verdict::Failed),
                ("TestOne", Verdict::Passed),
                ("TestThree", Verdict::Skipped),
            ]
        );
        assert!(outcomes[0].said.contains("two_test.go:3: wrong"));
        assert_eq!(outcomes[1].said, "    one_test.go:7: fine");
    }
}

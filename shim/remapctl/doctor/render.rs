//! The report for a reader.

use super::{Outcome, Report};
use crate::text::{count, wrapped};

/// Lines are about as wide.
const WIDTH: usize = 100;

/// The whole of it; `colours` where a terminal takes them.
pub(super) fn render(report: &Report, colours: bool) -> String {
    let mut out = String::new();
    for check in &report.checks {
        let (word, colour) = look(check.outcome);
        let head = format!("{word:<8} {:<14} ", check.name);
        let mut lines = wrapped(&head, &check.what, WIDTH);
        if colours {
            lines = lines.replacen(word, &format!("\x1b[{colour}m{word}\x1b[0m"), 1);
        }
        out += &lines;
        if let Some(remedy) = &check.remedy {
            // Not wrapped: it is to be pasted.
            out += &format!("{:<23} remedy: {}\n", "", crate::text::printable(remedy));
        }
    }
    let number = |outcome| {
        let all = report.checks.iter();
        all.filter(|check| check.outcome == outcome).count()
    };
    let failures = count(number(Outcome::Failure), "failure", "failures");
    let warnings = count(number(Outcome::Warning), "warning", "warnings");
    let verdict = match report.verdict {
        Outcome::Ok => "this host is able".to_owned(),
        Outcome::Warning => format!("this host is able, with {warnings}"),
        Outcome::Failure => format!("this host is NOT ABLE: {failures}, {warnings}"),
        Outcome::Unknown => format!("it cannot be told whether this host is able; {warnings}"),
    };
    out + "\nverdict: " + &verdict + "\n"
}

/// A word, and a colour of ECMA-48.
fn look(outcome: Outcome) -> (&'static str, u8) {
    match outcome {
        Outcome::Ok => ("ok", 32),
        Outcome::Warning => ("warning", 33),
        Outcome::Failure => ("FAILURE", 31),
        Outcome::Unknown => ("unknown", 35),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Check;
    use super::*;

    #[test]
    fn each_check_has_its_lines() {
        let long = "word ".repeat(40);
        let report = Report::of(vec![
            Check::ok("root", "it is"),
            Check::failure("criu", long.trim()).remedy("apt-get install criu"),
        ]);
        let text = render(&report, false);
        for part in [
            "ok       root           it is\n",
            "FAILURE  criu           word",
            "                        remedy: apt-get install criu\n",
            "\nverdict: this host is NOT ABLE: 1 failure, 0 warnings\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains('\x1b'));
        assert!(render(&report, true).contains("\x1b[31mFAILURE\x1b[0m  criu "));
    }
}

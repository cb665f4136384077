//! Of what, when and on what the tables of the tests and benchmarks are.

use std::process::Command;

/// The date and the revision, as the heading of a table has them.
#[must_use]
pub fn date_and_revision() -> String {
    format!(
        "{}, revision {}",
        said("date", &["-u", "+%F"]),
        said("git", &["describe", "--always", "--dirty"])
    )
}

/// The kernel's release.
#[must_use]
pub fn kernel() -> String {
    said("uname", &["-r"])
}

/// How many processors there are.
#[must_use]
pub fn cpus() -> String {
    said("nproc", &[])
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

//! The report for a reader.

use super::age;
use super::item::{Fate, Kind, Report};
use crate::text::{bytes, printable};

/// The whole of it.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for item in &report.items {
        let kind = match item.kind {
            Kind::Temporary => "temporary",
            Kind::Log => "log",
            Kind::Shim => "shim",
            Kind::Checkpoint => "checkpoint",
        };
        let (fate, why) = match &item.fate {
            Fate::Goes => ("would go", None),
            Fate::Stays(why) => ("stays", Some(why)),
            Fate::Removed => ("removed", None),
            Fate::Failed(why) => ("FAILED", Some(why)),
        };
        let why = why
            .map(|why| format!(": {}", printable(why)))
            .unwrap_or_default();
        let path = printable(&item.path.to_string_lossy());
        let (size, age) = (bytes(item.bytes), age::text(item.age));
        out += &format!("{kind:<10} {fate:<8} {size:>10} {age:>8} {path}{why}\n");
    }
    if report.items.is_empty() {
        out += "there is nothing to remove\n";
    } else if report.dry_run {
        out += &format!("{} would be free; --yes removes it\n", bytes(report.bytes));
    } else {
        out += &format!("{} are free\n", bytes(report.bytes));
    }
    out
}

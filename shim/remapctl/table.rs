//! The plan as a table, for whoever is on call.

mod columns;
mod files;
mod mounts;

use std::fmt::Write;

use remap_control::document::{Document, Verdict};
use remap_control::view::Forecast;

use crate::text::{bytes, count, printable, wrapped};

/// The whole of it, in lines of about `width` characters: names are never cut.
pub(crate) fn render(document: &Document<Forecast>, width: usize) -> String {
    let Forecast {
        refusals,
        warnings,
        plan,
        carried,
    } = &document.forecast;
    let mut out = head(document, width);
    out += "\nMOUNTS\n";
    out += &mounts::render(&plan.mounts, carried, width);
    out += "\nFILES THAT NEED CARE\n";
    out += &files::render(&plan.files);
    if document.abridged {
        out += "  (not all holders of files are listed: they are too many)\n";
    }
    if !refusals.is_empty() {
        out += "\nIN THE WAY\n";
    }
    for (number, refusal) in (1..).zip(refusals) {
        out += &wrapped(&format!("  {number}. "), &refusal.what, width);
        out += &wrapped("     remedy: ", &refusal.remedy, width);
    }
    if !warnings.is_empty() {
        out += "\nTO KNOW\n";
    }
    for warning in warnings {
        out += &wrapped("  - ", warning, width);
    }
    out.push('\n');
    out += &wrapped("bytes:   ", &size(&document.forecast), width);
    out += &wrapped("verdict: ", &verdict(document), width);
    out
}

fn head(document: &Document<Forecast>, width: usize) -> String {
    let container = &document.container;
    let seen = if container.frozen {
        "looked at while it was frozen"
    } else {
        "looked at while it ran: it may have changed since (--freeze)"
    };
    let who = format!(
        "{} in namespace {}, pid {}, {}; {seen}",
        container.id, container.namespace, container.pid, container.status
    );
    let asked = &document.request;
    let mut what = if asked.exit {
        "that ends the container".to_owned()
    } else {
        "that leaves it as it is".to_owned()
    };
    for (is_on, name) in [
        (asked.tcp_established, "established TCP connections"),
        (asked.ext_unix_sk, "external Unix sockets"),
        (asked.shell_job, "a shell job"),
        (asked.file_locks, "file locks"),
    ] {
        if is_on {
            let _ = write!(what, ", with {name}");
        }
    }
    let versions: Vec<String> = document
        .versions
        .iter()
        .map(|(name, version)| short_version(name, version))
        .collect();
    wrapped("container:  ", &who, width)
        + &wrapped("checkpoint: ", &what, width)
        + &wrapped("versions:   ", &versions.join(", "), width)
}

/// `runc version 1.1.15` and `Version: 4.1` without the word.
fn short_version(name: &str, version: &str) -> String {
    let number = version.split(' ').next_back().unwrap_or(version);
    match version.split_once(" version ") {
        Some((program, _)) => format!("{program} {number}"),
        None => format!("{name} {number}"),
    }
}

fn size(forecast: &Forecast) -> String {
    let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
    let carried = sum(&mut forecast.carried.iter().map(|one| one.allocated_bytes));
    let files = &forecast.plan.files;
    let ghosts = files
        .iter()
        .filter(|file| file.decision.starts_with("ghost"));
    let ghosts = sum(&mut ghosts.map(|file| file.allocated_bytes));
    format!(
        "{} of carried mounts and {} of ghost files would be saved, beside the memory of the processes",
        bytes(carried),
        bytes(ghosts)
    )
}

fn verdict(document: &Document<Forecast>) -> String {
    let reasons = document.forecast.refusals.len();
    match document.verdict {
        Verdict::Works => "a checkpoint would work".to_owned(),
        Verdict::Refused => format!(
            "a checkpoint WOULD BE REFUSED, for {}",
            count(reasons, "reason", "reasons")
        ),
        Verdict::Unknown => {
            "the shim says something that this remapctl does not know; see --json".to_owned()
        }
    }
}

/// Names, separated by commas.
fn list<'t>(names: impl IntoIterator<Item = &'t String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| printable(name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;

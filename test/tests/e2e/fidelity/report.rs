//! The table of what came of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use remap_test::{Flavour, Runtime, origin, reason};

use super::{TABLES, Workload};
use crate::context::Context;

/// What came of a workload on a flavour with a runtime.
static NOTES: Mutex<BTreeMap<Key, String>> = Mutex::new(BTreeMap::new());

type Key = (&'static str, String, String);

/// Notes what came of it; the key part is shown.
pub(super) fn note(context: &Context, workload: &Workload, text: &str) {
    let key = key(workload, context.flavour(), context.runtime());
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    notes.insert(key, text.to_owned());
}

/// Writes the table to a file below `target`, if there was a workload, and says where.
pub(crate) fn write() -> Result<Option<PathBuf>> {
    let notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if notes.is_empty() {
        return Ok(None);
    }
    let mut text = format!("{}\n\n", heading());
    text += "| workload | class | what it holds | remap, trixie | stock, trixie | remap, forky | stock, forky |\n";
    text += "|---|---|---|---|---|---|---|\n";
    for workload in TABLES.iter().copied().flatten() {
        let cell = |flavour, runtime| {
            let note = notes.get(&key(workload, flavour, runtime));
            note.map_or_else(|| "–".to_owned(), |note| shown(note))
        };
        let cells = [
            cell(Flavour::Trixie, Runtime::Remap),
            cell(Flavour::Trixie, Runtime::Stock),
            cell(Flavour::Forky, Runtime::Remap),
            cell(Flavour::Forky, Runtime::Stock),
        ];
        if cells.iter().any(|cell| cell != "–") {
            let (name, class, holds) = (workload.name(), workload.class, workload.holds);
            let cells = cells.join(" | ");
            let _ = writeln!(text, "| {name} | {class} | {holds} | {cells} |");
        }
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fidelity.md");
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(path))
}

/// When, of what, and on what.
fn heading() -> String {
    let on = Flavour::SUITES.map(|flavour| {
        let versions = flavour.versions();
        format!(
            "{flavour} with containerd {}, runc {}, CRIU {}",
            versions.containerd, versions.runc, versions.criu
        )
    });
    format!(
        "Fidelity suite, {}, kernel {}; {}",
        origin::date_and_revision(),
        origin::kernel(),
        on.join("; ")
    )
}

/// A cell, harmless in a table.
fn shown(note: &str) -> String {
    reason::brief(note).replace('|', "\\|").replace('<', "&lt;")
}

fn key(workload: &Workload, flavour: Flavour, runtime: Runtime) -> Key {
    (workload.scenario, flavour.to_string(), runtime.to_string())
}

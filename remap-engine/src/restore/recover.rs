//! Takes back a restore whose process was killed, by its journals in the bundle.

use std::io;
use std::path::Path;

use crate::carry::{self, Recovery};
use crate::half_restored::HalfRestored;
use crate::linked;
use crate::phase::{BoxError, report};
use crate::relink::Relink;
use crate::workdir::WorkDir;

use super::populate::JOURNAL_EXTENSION;

/// Ends the tasks of a restore whose process ended in the middle of it. Does nothing if there was
/// none.
///
/// # Errors
/// They do not end.
pub fn end_tasks(bundle: &Path) -> Result<(), BoxError> {
    if let Some(half) = HalfRestored::find(bundle)? {
        half.end(bundle)?;
        HalfRestored::forget(bundle)?;
    }
    Ok(())
}

/// Takes back a restore whose process ended in the middle of it. Does nothing if there was none.
///
/// # Errors
/// The mounts cannot be put back; the error says what is kept where.
pub fn recover(bundle: &Path) -> Result<(), BoxError> {
    let names = Relink::recover(&WorkDir::of(bundle).relink_note());
    let mounts = recover_mounts(bundle);
    let links = linked::recover(&WorkDir::of(bundle).links_journal());
    names.map_err(|error| report(&error))?;
    links.map_err(|error| report(&error))?;
    mounts
}

/// The same for the contents of mounts.
fn recover_mounts(bundle: &Path) -> Result<(), BoxError> {
    let stash = WorkDir::of(bundle).stash();
    let entries = match std::fs::read_dir(&stash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut first_error = None;
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != JOURNAL_EXTENSION)
        {
            continue;
        }
        match carry::recover(&path) {
            Ok(Recovery::OtherTarget { stash: Some(stash) }) => {
                let stash = stash.display();
                tracing::warn!(%stash, "the mount that a restore had replaced is gone; its old contents are here");
            }
            Ok(_) => {}
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) => Err(report(&error).into()),
        None => Ok(()),
    }
}

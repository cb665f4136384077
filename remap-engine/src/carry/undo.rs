//! Takes back what a populate has done, by its journal.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use super::add::{remove_stage, take_away};
use super::aside;
use super::error::PopulateError;
use super::journal::{JournalFile, Step, Target, remove_file};
use super::replace::put_back;
use super::tree::Tree;

/// What [`recover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// There is no journal: nothing was under way.
    Nothing,
    /// The target is as it was before the populate, or as it was committed.
    Recovered,
    /// The target is gone, or another directory is in its place, as after a reboot.
    /// Nothing was touched: the journal and the stash are the caller's to remove.
    OtherTarget {
        /// The archive with the old contents, if there is one.
        stash: Option<PathBuf>,
    },
}

/// Undoes the populate that left the journal, in whatever step its process ended.
///
/// May be called again after an error or a crash of its own. Must not be called
/// while the process that populates still runs.
///
/// # Errors
/// When the journal cannot be understood, or the target not be put back; journal
/// and stash are kept then.
pub fn recover(journal: &Path) -> Result<Recovery, PopulateError> {
    let Some(mut file) = JournalFile::open(journal)? else {
        return Ok(Recovery::Nothing);
    };
    let other = Recovery::OtherTarget {
        stash: file.step().stash().map(Path::to_owned),
    };
    let tree = match Tree::open(&file.target().path) {
        Ok(tree) => tree,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(other),
        Err(error) => {
            return Err(PopulateError::io("open", &file.target().path)(error));
        }
    };
    if Target::of(&tree)? != *file.target() {
        return Ok(other);
    }
    roll_back(&tree, &mut file, "the process that populated it ended")?;
    Ok(Recovery::Recovered)
}

/// Undoes, and ends the journal. Says why it was necessary when it fails.
pub(super) fn roll_back(
    tree: &Tree,
    journal: &mut JournalFile,
    cause: &str,
) -> Result<(), PopulateError> {
    undo(tree, journal).map_err(|source| PopulateError::NotRolledBack {
        cause: cause.to_owned(),
        target: tree.place(Path::new("")),
        stash: journal.step().stash().map(Path::to_owned),
        journal: journal.path().to_owned(),
        source: Box::new(source),
    })
}

fn undo(tree: &Tree, journal: &mut JournalFile) -> Result<(), PopulateError> {
    match journal.step().clone() {
        // Half a stash, or one that is not needed any more.
        Step::Stashing { stash } | Step::Done { stash } => remove_file(&stash.0)?,
        Step::Replacing { stash } => {
            put_back(tree, &stash.0)?;
            journal.set(Step::Done {
                stash: stash.clone(),
            })?;
            remove_file(&stash.0)?;
        }
        Step::Staging { stage } => {
            aside::forget(tree, &stage.0)?;
            remove_stage(tree, &stage.0)?;
        }
        Step::Adding {
            stage,
            added,
            aside,
        } => {
            take_away(tree, &added)?;
            aside::put_back(tree, &stage.0, &aside)?;
            remove_stage(tree, &stage.0)?;
        }
    }
    journal.remove()
}

/// An error with all its sources, on one line.
pub(super) fn explain(error: &PopulateError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

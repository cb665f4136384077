//! Replaces the contents of a target that nobody else uses.

use std::path::Path;

use super::capture::{Purpose, capture_tree};
use super::clear::clear;
use super::error::PopulateError;
use super::extract::extract;
use super::index::{Index, index};
use super::journal::{JournalFile, Step, TextPath};
use super::read::ArchiveReader;
use super::room::{self, Needs};
use super::survey::survey;
use super::tree::Tree;
use crate::private;

/// Finds what forbids the replacement; nothing is written.
pub(super) fn check(
    tree: &Tree,
    needs: &Needs,
    index: &Index,
    stash: &Path,
) -> Result<Step, PopulateError> {
    let old = survey(tree)?;
    old.standing.check(tree, index)?;
    room::check_target(tree, needs, &old)?;
    let directory = match stash.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    room::check_stash(directory, &old)?;
    if stash.symlink_metadata().is_ok() {
        return Err(PopulateError::Unfinished(stash.to_owned()));
    }
    Ok(Step::Stashing {
        stash: TextPath(stash.to_owned()),
    })
}

/// Saves the old contents, removes them, puts the new ones in.
pub(super) fn replace(
    tree: &Tree,
    reader: &mut ArchiveReader,
    stash: &Path,
    journal: &mut JournalFile,
) -> Result<(), PopulateError> {
    let out = private::create_file(stash).map_err(PopulateError::io("create", stash))?;
    capture_tree(tree, out, Purpose::Stash).map_err(|source| PopulateError::Stash {
        stash: stash.to_owned(),
        source,
    })?;
    journal.set(Step::Replacing {
        stash: TextPath(stash.to_owned()),
    })?;
    let standing = clear(tree)?;
    extract(reader, tree, &standing)
}

/// Puts the old contents back; may be done again after a crash in the middle.
pub(super) fn put_back(tree: &Tree, stash: &Path) -> Result<(), PopulateError> {
    // A stash that cannot be read must not cost what is in place.
    let mut reader = ArchiveReader::open(stash)?;
    index(&mut reader, |_| ())?;
    let standing = clear(tree)?;
    extract(&mut reader, tree, &standing)
}

//! Measures the contents that are about to be replaced, and finds what forbids it.

use std::collections::HashMap;
use std::path::PathBuf;

use super::entry::Kind;
use super::error::PopulateError;
use super::tree::Tree;
use super::walk::{Found, Walk};

/// What removing the contents frees, and what saving them takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Storage of all inodes below the root, in bytes.
    pub(super) bytes: u64,
    /// Inodes below the root.
    pub(super) inodes: u64,
    /// Names below the root.
    pub(super) names: u64,
}

/// Walks the contents.
///
/// # Errors
/// A mount below, or an inode with names elsewhere: neither could be put back.
pub(super) fn survey(tree: &Tree) -> Result<Survey, PopulateError> {
    let mut survey = Survey::default();
    let mut linked: HashMap<(u64, u64), (PathBuf, u64, u64)> = HashMap::new();
    for found in Walk::new(tree) {
        let (path, kind, stat) = match found.map_err(|error| error.below(tree))? {
            Found::Entry {
                path, kind, stat, ..
            } => (path, kind, stat),
            Found::Mount(path) => return Err(PopulateError::Mount(tree.place(&path))),
        };
        if path.as_os_str().is_empty() {
            continue;
        }
        survey.names += 1;
        let nlink = super::capture::nlink(&stat);
        if kind != Kind::Directory && nlink > 1 {
            let known = linked
                .entry((stat.st_dev, stat.st_ino))
                .or_insert_with(|| (path, nlink, 0));
            known.2 += 1;
            if known.2 > 1 {
                continue;
            }
        }
        survey.inodes += 1;
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        survey.bytes = survey.bytes.saturating_add(blocks.saturating_mul(512));
    }
    match linked
        .into_values()
        .find(|(_, nlink, inside)| nlink != inside)
    {
        None => Ok(survey),
        Some((path, nlink, inside)) => Err(PopulateError::OutsideLinks {
            path: tree.place(&path),
            nlink,
            inside,
        }),
    }
}

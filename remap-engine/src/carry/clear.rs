//! Removes everything below a directory.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::entry::Kind;
use super::error::PopulateError;
use super::standing::Standing;
use super::tree::Tree;
use super::walk::{Found, Walk};

/// Empties the tree; its root stays, and what is mounted below it. Returns what stays.
///
/// After an error some of the contents are gone.
pub(super) fn clear(tree: &Tree) -> Result<Standing, PopulateError> {
    let mut standing = Standing::default();
    let mut names = Vec::new();
    for found in Walk::new(tree) {
        match found.map_err(|error| error.below(tree))? {
            Found::Entry { path, kind, .. } => names.push((path, kind)),
            Found::Mount(path) => standing.note(path),
        }
    }
    while let Some((path, kind)) = names.pop() {
        if !path.as_os_str().is_empty() && !standing.stays(&path) {
            remove(tree, &path, kind).map_err(PopulateError::io("remove", tree.place(&path)))?;
        }
    }
    Ok(standing)
}

/// Removes one name; one that is gone already is no error.
pub(super) fn remove(tree: &Tree, path: &Path, kind: Kind) -> io::Result<()> {
    let flag = match kind {
        Kind::Directory => UnlinkatFlags::RemoveDir,
        _ => UnlinkatFlags::NoRemoveDir,
    };
    let (parent, name) = tree.parent(path)?;
    match unlinkat(&parent, name, flag) {
        Err(Errno::ENOENT) => Ok(()),
        other => Ok(other?),
    }
}

//! Mounts below a target: what is mounted there stays, and so do the directories on the way to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::entry::Kind;
use super::error::PopulateError;
use super::index::Index;
use super::tree::Tree;

/// What stays in a target of which the contents are replaced; paths are relative to its root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    mounts: BTreeSet<PathBuf>,
    above: BTreeSet<PathBuf>,
}

impl Standing {
    /// Notes a mount.
    pub(super) fn note(&mut self, mount: PathBuf) {
        let above = mount.ancestors().skip(1).map(Path::to_owned);
        self.above.extend(above);
        self.mounts.insert(mount);
    }

    /// Whether something is mounted there.
    pub(super) fn is_mount(&self, path: &Path) -> bool {
        self.mounts.contains(path)
    }

    /// Whether the name stays where it is.
    pub(super) fn stays(&self, path: &Path) -> bool {
        self.is_mount(path) || self.above.contains(path)
    }

    /// Whether the archive's contents have room around what stays: a directory wherever one does, and
    /// nothing below a mount.
    pub(super) fn check(&self, tree: &Tree, index: &Index) -> Result<(), PopulateError> {
        for entry in &index.entries {
            let below = |mount: &&PathBuf| entry.path.starts_with(mount) && entry.path != **mount;
            let other = self.stays(&entry.path) && entry.kind != Kind::Directory;
            if other || self.mounts.iter().any(|mount| below(&mount)) {
                return Err(PopulateError::Mount(tree.place(&entry.path)));
            }
        }
        Ok(())
    }
}

//! Walks a tree: every name once, parents first, siblings in the order of their names.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::entry::Kind;
use super::error::PopulateError;
use super::tree::{Pinned, Tree};

/// What the walk met at a path (relative to the root; empty for the root itself).
pub(super) enum Found {
    /// A name and its inode, pinned.
    Entry {
        path: PathBuf,
        kind: Kind,
        pinned: Pinned,
        stat: FileStat,
    },
    /// Another mount lies here; the walk does not enter it.
    Mount(PathBuf),
}

/// The path at which the walk failed, and why.
#[derive(Debug)]
pub(super) struct WalkError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl WalkError {
    /// The same, about a target.
    pub(super) fn below(self, tree: &Tree) -> PopulateError {
        PopulateError::io("visit", tree.place(&self.path))(self.source)
    }
}

/// The walk: an iterator that holds one descriptor at a time, whatever the depth.
///
/// Names that vanish during the walk are left out.
pub(super) struct Walk<'a> {
    tree: &'a Tree,
    pending: Vec<PathBuf>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            pending: vec![PathBuf::new()],
        }
    }

    fn visit(&mut self, path: &Path) -> io::Result<Option<Found>> {
        let pinned = match self.tree.pin(path) {
            Ok(pinned) => pinned,
            Err(error) => {
                return match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOENT) => Ok(None),
                    Some(Errno::EXDEV) => Ok(Some(Found::Mount(path.to_owned()))),
                    _ => Err(error),
                };
            }
        };
        let stat = pinned.stat()?;
        let kind = Kind::of(&stat)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown file type"))?;
        if kind == Kind::Directory {
            let names = pinned.names()?;
            self.pending
                .extend(names.iter().rev().map(|name| path.join(name)));
        }
        Ok(Some(Found::Entry {
            path: path.to_owned(),
            kind,
            pinned,
            stat,
        }))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Found, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(path) = self.pending.pop() {
            match self.visit(&path) {
                Ok(Some(found)) => return Some(Ok(found)),
                Ok(None) => {}
                Err(source) => return Some(Err(WalkError { path, source })),
            }
        }
        None
    }
}

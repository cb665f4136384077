//! Puts aside what the container itself has left on a target that others use.
//!
//! A restore on the host of the checkpoint finds the very inodes that it has saved. If nobody holds
//! them any more they are moved, name by name, into a directory beside the stage, and back if the
//! restore fails: neither they nor anything else there is changed by that.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat2};
use nix::sys::stat::{FileStat, Mode, mkdirat};
use serde::{Deserialize, Serialize};

use super::add::remove_stage;
use super::error::PopulateError;
use super::origin::Origin;
use super::tree::Tree;

/// A name that is put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Aside {
    /// Where it was.
    #[serde(with = "crate::text")]
    pub(super) path: PathBuf,
    /// The inode that it had.
    pub(super) ino: u64,
}

/// Names that are taken by inodes of the archive itself.
#[derive(Debug, Default)]
pub(super) struct OwnNames {
    names: Vec<Aside>,
    /// How many names an inode has, and how many of them are known.
    links: HashMap<u64, (u64, u64)>,
}

impl OwnNames {
    /// Notes a name if what is there is the inode that was saved, and free. Says whether it is.
    pub(super) fn note(
        &mut self,
        tree: &Tree,
        path: &Path,
        origin: Option<Origin>,
        held: &HashSet<u64>,
    ) -> io::Result<bool> {
        let Some(origin) = origin else {
            return Ok(false);
        };
        let pinned = tree.pin(path)?;
        let stat: FileStat = pinned.stat()?;
        if stat.st_ino != origin.inode
            || held.contains(&stat.st_ino)
            || Origin::of(&pinned)? != Some(origin)
        {
            return Ok(false);
        }
        let nlink = super::capture::nlink(&stat);
        self.links.entry(stat.st_ino).or_insert((nlink, 0)).1 += 1;
        self.names.push(Aside {
            path: path.to_owned(),
            ino: stat.st_ino,
        });
        Ok(true)
    }

    /// Those that can be put aside; and those that cannot, since their inodes have got names that
    /// are not the container's.
    pub(super) fn sort(self) -> (Vec<Aside>, Vec<PathBuf>) {
        let Self { names, links } = self;
        let whole = |one: &Aside| {
            links
                .get(&one.ino)
                .is_some_and(|(links, known)| links == known)
        };
        let (aside, others): (Vec<Aside>, Vec<Aside>) = names.into_iter().partition(whole);
        (aside, others.into_iter().map(|one| one.path).collect())
    }
}

/// The directory for what is put aside, beside the stage.
pub(super) fn directory(stage: &Path) -> PathBuf {
    let mut name = stage.as_os_str().to_owned();
    name.push("-old");
    name.into()
}

/// Moves the names away.
pub(super) fn put(tree: &Tree, stage: &Path, names: &[Aside]) -> Result<(), PopulateError> {
    if names.is_empty() {
        return Ok(());
    }
    let dir = directory(stage);
    mkdirat(tree, &dir, Mode::S_IRWXU)
        .map_err(|errno| PopulateError::io("make", tree.place(&dir))(errno.into()))?;
    for (number, Aside { path, .. }) in names.iter().enumerate() {
        rename(tree, path, &dir.join(number.to_string()))
            .map_err(PopulateError::io("put aside", tree.place(path)))?;
    }
    Ok(())
}

/// Moves them back, as far as they were moved; may be done again after a crash in the middle.
pub(super) fn put_back(tree: &Tree, stage: &Path, names: &[Aside]) -> Result<(), PopulateError> {
    let dir = directory(stage);
    for (number, Aside { path, .. }) in names.iter().enumerate() {
        match rename(tree, &dir.join(number.to_string()), path) {
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            result => result.map_err(PopulateError::io("put back", tree.place(path)))?,
        }
    }
    forget(tree, stage)
}

/// Gives up what was put aside.
pub(super) fn forget(tree: &Tree, stage: &Path) -> Result<(), PopulateError> {
    remove_stage(tree, &directory(stage))
}

fn rename(tree: &Tree, from: &Path, to: &Path) -> io::Result<()> {
    let (from, old) = tree.parent(from)?;
    let (to, new) = tree.parent(to)?;
    renameat2(&from, old, &to, new, RenameFlags::RENAME_NOREPLACE)?;
    Ok(())
}

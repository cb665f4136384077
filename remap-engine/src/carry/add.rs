//! Adds to a target that others use.
//!
//! The new contents are made in a directory of their own in the target, closed to
//! others, and then moved into place name by name: nobody sees half a file, and a
//! lack of room shows before anything is in place.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat2};
use nix::sys::stat::{Mode, mkdirat};

use super::aside::{self, Aside, OwnNames};
use super::clear::{clear, remove};
use super::entry::Kind;
use super::error::PopulateError;
use super::extract::extract_beside;
use super::index::Index;
use super::journal::{Added, JournalFile, Step, TextPath};
use super::kept::Kept;
use super::origin::Origin;
use super::read::ArchiveReader;
use super::room::{self, Needs};
use super::survey::Survey;
use super::tree::Tree;
use crate::text::escape;

/// Most names in a message about conflicts.
const NAMED: usize = 8;

/// What is added to, and what is known of it.
pub(super) struct Adding<'a> {
    pub(super) tree: &'a Tree,
    pub(super) index: &'a Index,
    /// If the archive is of this file system: the inodes that processes hold.
    pub(super) held_here: Option<&'a HashSet<u64>>,
    /// What other containers have brought.
    pub(super) kept: Option<&'a Kept>,
}

/// What will be new in the target.
pub(super) struct Additions {
    /// Every new name, parents first.
    all: Vec<PathBuf>,
    /// Those of them whose parent is in the target already.
    top: Vec<PathBuf>,
    /// Names that make room for them.
    aside: Vec<Aside>,
}

impl Adding<'_> {
    /// Finds what forbids the addition, and a name for the stage; nothing is written.
    pub(super) fn check(&self, needs: &Needs) -> Result<(Additions, PathBuf), PopulateError> {
        let additions = self.additions()?;
        room::check_target(self.tree, needs, &Survey::default())?;
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        let stage = PathBuf::from(format!(".remap-{}-{time}", std::process::id()));
        Ok((additions, stage))
    }

    /// Makes the new contents and moves them into place.
    pub(super) fn add(
        &self,
        reader: &mut ArchiveReader,
        mut additions: Additions,
        stage: &Path,
        journal: &mut JournalFile,
    ) -> Result<(), PopulateError> {
        let tree = self.tree;
        mkdirat(tree, stage, Mode::S_IRWXU)
            .map_err(|errno| PopulateError::io("make", tree.place(stage))(errno.into()))?;
        let staged = open_stage(tree, stage)?;
        let kept = self.kept.map(|kept| (tree, kept));
        extract_beside(reader, &staged, kept)?;
        if let Some(kept) = self.kept {
            let (all, top) = kept.stage(&staged, self.index)?;
            additions.all.extend(all);
            additions.top.extend(top);
        }
        let mut added = Vec::with_capacity(additions.all.len());
        for path in &additions.all {
            let stat = staged
                .pin(path)
                .and_then(|pinned| pinned.stat())
                .map_err(PopulateError::io("stat", staged.place(path)))?;
            added.push(Added {
                path: path.clone(),
                ino: stat.st_ino,
            });
        }
        journal.set(Step::Adding {
            stage: TextPath(stage.to_owned()),
            added,
            aside: additions.aside.clone(),
        })?;
        aside::put(tree, stage, &additions.aside)?;
        for path in &additions.top {
            move_in(&staged, tree, path)?;
        }
        remove_stage(tree, stage)
    }

    fn additions(&self) -> Result<Additions, PopulateError> {
        let Self { tree, index, .. } = self;
        let origins: HashMap<&Path, Option<Origin>> = index
            .entries
            .iter()
            .map(|entry| (entry.path.as_path(), entry.origin))
            .collect();
        let mut own = OwnNames::default();
        let mut new_directories = HashSet::new();
        let mut additions = Additions {
            all: Vec::new(),
            top: Vec::new(),
            aside: Vec::new(),
        };
        let mut conflicts = Vec::new();
        let mut blocked = HashSet::new();
        for entry in &index.entries {
            let Some(parent) = entry.path.parent() else {
                continue;
            };
            if let Some(kept) = self.kept {
                kept.check(tree, entry)?;
            }
            let path = entry.path.as_path();
            let first = entry.same_as.as_deref().unwrap_or(path);
            let origin = origins.get(first).copied().flatten();
            let is_directory = entry.kind == Kind::Directory;
            if blocked.contains(parent) {
                // One message about the directory is enough.
                blocked.insert(path);
                continue;
            }
            let below_new = new_directories.contains(parent);
            let mut place = if below_new {
                Place::Free
            } else {
                lookup(tree, path, is_directory)?
            };
            if let Place::Taken(Some(inode)) = place {
                let brought = self.kept.and_then(|kept| kept.here(origin));
                if brought == Some(inode) {
                    place = Place::Merge;
                } else if let Some(held) = self.held_here
                    && brought.is_none()
                    && own
                        .note(tree, path, origin, held)
                        .map_err(PopulateError::io("stat", tree.place(path)))?
                {
                    place = Place::Free;
                }
            }
            match place {
                Place::Free => {
                    additions.all.push(path.to_owned());
                    if !below_new {
                        additions.top.push(path.to_owned());
                    }
                    if is_directory {
                        new_directories.insert(path);
                    }
                }
                Place::Merge => {}
                Place::Taken(_) => {
                    conflicts.push(path.to_owned());
                    blocked.insert(path);
                }
            }
        }
        let (aside, of_others) = own.sort();
        additions.aside = aside;
        conflicts.extend(of_others);
        if conflicts.is_empty() {
            Ok(additions)
        } else {
            Err(conflict(tree, &conflicts))
        }
    }
}

/// Removes the stage, if it is there.
pub(super) fn remove_stage(tree: &Tree, stage: &Path) -> Result<(), PopulateError> {
    match tree.pin(stage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    clear(&open_stage(tree, stage)?)?;
    remove(tree, stage, Kind::Directory).map_err(PopulateError::io("remove", tree.place(stage)))
}

/// Removes what is in place of `added`: names that still have the inode that was
/// made for them. A directory in which others have put something stays.
pub(super) fn take_away(tree: &Tree, added: &[Added]) -> Result<(), PopulateError> {
    for Added { path, ino } in added.iter().rev() {
        let take = || {
            let stat = tree.pin(path)?.stat()?;
            match Kind::of(&stat) {
                Some(kind) if stat.st_ino == *ino => remove(tree, path, kind),
                _ => Ok(()),
            }
        };
        if let Err(error) = take()
            && !is_not_ours(&error)
        {
            return Err(PopulateError::io("remove", tree.place(path))(error));
        }
    }
    Ok(())
}

/// It was not put in yet, others have removed it, or others have filled it.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ENOTEMPTY)
    )
}

/// What is at a name in the target.
enum Place {
    /// Nothing.
    Free,
    /// What the archive has there: a directory, too, or the same inode.
    Merge,
    /// Something else, with this number; or a mount.
    Taken(Option<u64>),
}

fn lookup(tree: &Tree, path: &Path, is_directory: bool) -> Result<Place, PopulateError> {
    match tree.pin(path).and_then(|pinned| pinned.stat()) {
        Ok(stat) if is_directory && Kind::of(&stat) == Some(Kind::Directory) => Ok(Place::Merge),
        Ok(stat) => Ok(Place::Taken(Some(stat.st_ino).filter(|_| !is_directory))),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Ok(Place::Free),
            // Another mount is a place, as a directory is.
            Some(Errno::EXDEV) if is_directory => Ok(Place::Merge),
            // A mount, or since the parent was looked at a link or a file in its place.
            Some(Errno::EXDEV | Errno::ELOOP | Errno::ENOTDIR) => Ok(Place::Taken(None)),
            _ => Err(PopulateError::io("stat", tree.place(path))(error)),
        },
    }
}

fn open_stage(tree: &Tree, stage: &Path) -> Result<Tree, PopulateError> {
    let place = tree.place(stage);
    tree.directory(stage)
        .and_then(|fd| Tree::below(fd.as_fd(), place.clone()))
        .map_err(PopulateError::io("open", place))
}

fn move_in(staged: &Tree, tree: &Tree, path: &Path) -> Result<(), PopulateError> {
    let rename = || -> io::Result<()> {
        let (from, name) = staged.parent(path)?;
        let (to, _) = tree.parent(path)?;
        renameat2(&from, name, &to, name, RenameFlags::RENAME_NOREPLACE)?;
        Ok(())
    };
    rename().map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            // Somebody else made it meanwhile.
            conflict(tree, &[path.to_owned()])
        } else {
            PopulateError::io("put in", tree.place(path))(error)
        }
    })
}

fn conflict(tree: &Tree, paths: &[PathBuf]) -> PopulateError {
    let mut names: Vec<_> = paths
        .iter()
        .take(NAMED)
        .map(|path| format!("`{}`", escape(path.as_os_str())))
        .collect();
    if paths.len() > NAMED {
        names.push("…".to_owned());
    }
    PopulateError::Conflict {
        target: tree.place(Path::new("")),
        names: names.join(", "),
        total: paths.len(),
    }
}

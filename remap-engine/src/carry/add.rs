//! Adds to a target that others use.
//!
//! The new contents are made in a directory of their own in the target, closed to
//! others, and then moved into place name by name: nobody sees half a file, and a
//! lack of room shows before anything is in place.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat2};
use nix::sys::stat::{Mode, mkdirat};

use super::clear::{clear, remove};
use super::entry::Kind;
use super::error::PopulateError;
use super::extract::{Root, extract};
use super::index::Index;
use super::journal::{Added, JournalFile, Step, TextPath};
use super::read::ArchiveReader;
use super::room::{self, Needs};
use super::survey::Survey;
use super::tree::Tree;
use crate::text::escape;

/// Most names in a message about conflicts.
const NAMED: usize = 8;

/// What will be new in the target.
pub(super) struct Additions {
    /// Every new name, parents first.
    all: Vec<PathBuf>,
    /// Those of them whose parent is in the target already.
    top: Vec<PathBuf>,
}

/// Finds what forbids the addition, and a name for the stage; nothing is written.
pub(super) fn check(
    tree: &Tree,
    index: &Index,
    needs: &Needs,
) -> Result<(Additions, PathBuf), PopulateError> {
    let additions = additions(tree, index)?;
    room::check_target(tree, needs, &Survey::default())?;
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    let stage = PathBuf::from(format!(".remap-{}-{time}", std::process::id()));
    Ok((additions, stage))
}

/// Makes the new contents and moves them into place.
pub(super) fn add(
    tree: &Tree,
    reader: &mut ArchiveReader,
    additions: &Additions,
    stage: &Path,
    journal: &mut JournalFile,
) -> Result<(), PopulateError> {
    mkdirat(tree, stage, Mode::S_IRWXU)
        .map_err(|errno| PopulateError::io("make", tree.place(stage))(errno.into()))?;
    let staged = open_stage(tree, stage)?;
    extract(reader, &staged, Root::Keep)?;
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
    })?;
    for path in &additions.top {
        move_in(&staged, tree, path)?;
    }
    remove_stage(tree, stage)
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

fn additions(tree: &Tree, index: &Index) -> Result<Additions, PopulateError> {
    let mut new_directories = HashSet::new();
    let mut additions = Additions {
        all: Vec::new(),
        top: Vec::new(),
    };
    let mut conflicts = Vec::new();
    let mut blocked = HashSet::new();
    for entry in &index.entries {
        let Some(parent) = entry.path.parent() else {
            continue;
        };
        let path = entry.path.as_path();
        let is_directory = entry.kind == Kind::Directory;
        if blocked.contains(parent) {
            // One message about the directory is enough.
            blocked.insert(path);
            continue;
        }
        let below_new = new_directories.contains(parent);
        let place = if below_new {
            Place::Free
        } else {
            lookup(tree, path, is_directory)?
        };
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
            Place::Taken => {
                conflicts.push(path.to_owned());
                blocked.insert(path);
            }
        }
    }
    if conflicts.is_empty() {
        Ok(additions)
    } else {
        Err(conflict(tree, &conflicts))
    }
}

/// What is at a name in the target.
enum Place {
    /// Nothing.
    Free,
    /// A directory, where the archive has one, too.
    Merge,
    /// Something that stands in the way.
    Taken,
}

fn lookup(tree: &Tree, path: &Path, is_directory: bool) -> Result<Place, PopulateError> {
    match tree.pin(path).and_then(|pinned| pinned.stat()) {
        Ok(stat) if is_directory && Kind::of(&stat) == Some(Kind::Directory) => Ok(Place::Merge),
        Ok(_) => Ok(Place::Taken),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Ok(Place::Free),
            // A mount, or since the parent was looked at a link or a file in its place.
            Some(Errno::EXDEV | Errno::ELOOP | Errno::ENOTDIR) => Ok(Place::Taken),
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

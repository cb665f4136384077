//! Puts an archive into a mount of the target host, so that it can be taken back.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::PopulateError;
use super::index::{Totals, index};
use super::journal::{JournalFile, Step, Target, TextPath, remove_file};
use super::kept::{Kept, Together};
use super::read::ArchiveReader;
use super::replace;
use super::room::Needs;
use super::tree::Tree;
use super::undo::{explain, roll_back};
use super::{add, aside};

/// What to put where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The archive that `capture` wrote.
    pub archive: &'a Path,
    /// The directory to populate: the mount's source on this host.
    pub target: &'a Path,
    /// Where the journal is kept while the populate can be taken back. The
    /// directory must outlive this process; nothing may exist at this path.
    pub journal: &'a Path,
    /// How.
    pub mode: Mode,
}

/// How the contents get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Nobody else uses the target: its contents are replaced as a whole, its
    /// root's own mode, owner and times too. Only what is mounted below it stays.
    Replace {
        /// Where the old contents are kept as an archive until the commit.
        /// Nothing may exist at this path.
        stash: PathBuf,
    },
    /// Others use the target: only names that do not exist are added. Directories
    /// that exist stay as they are.
    Add(Beside),
}

/// What of the archive's may be on the target already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The archive was made of this very file system, on which processes hold the inodes with these
    /// numbers. The container's own inodes that nobody holds are put aside until the commit.
    pub held_here: Option<HashSet<u64>>,
    /// The container was saved together with others that share inodes with it: what they have
    /// brought is used as it is, and what is theirs as well is kept for them.
    pub together: Option<Together>,
}

/// A populated target, which can still be taken back.
///
/// Dropped without either, the journal and the stash stay, and
/// [`recover`](super::recover) takes the populate back.
#[derive(Debug)]
#[must_use = "commit or roll back"]
pub struct Populated {
    tree: Tree,
    journal: JournalFile,
    totals: Totals,
    kept: Option<Kept>,
}

/// Populates the target.
///
/// The archive as a whole, the room and conflicts are checked before anything is
/// touched.
///
/// # Errors
/// The target is as it was, without journal and stash; except after
/// [`PopulateError::NotRolledBack`], which says where the old contents are.
pub fn populate(request: &Request<'_>) -> Result<Populated, PopulateError> {
    let mut reader = ArchiveReader::open(request.archive)?;
    let tree = Tree::open(request.target).map_err(PopulateError::io("open", request.target))?;
    let mut needs = Needs::in_blocks_of(&tree)?;
    let kept = match &request.mode {
        Mode::Add(Beside {
            together: Some(together),
            ..
        }) => Some(Kept::look(&tree, together)?),
        _ => None,
    };
    let index = index(&mut reader, |member| {
        let here = |kept: &Kept| kept.here(member.attributes.origin).is_some();
        if !kept.as_ref().is_some_and(here) {
            needs.count(&member.node);
        }
    })?;
    let begin = |step| JournalFile::create(request.journal, Target::of(&tree)?, step);
    let (mut journal, result) = match &request.mode {
        Mode::Replace { stash } => {
            let mut journal = begin(replace::check(&tree, &needs, &index, stash)?)?;
            let result = replace::replace(&tree, &mut reader, stash, &mut journal);
            (journal, result)
        }
        Mode::Add(beside) => {
            let add = add::Adding {
                tree: &tree,
                index: &index,
                held_here: beside.held_here.as_ref(),
                kept: kept.as_ref(),
            };
            let (additions, stage) = add.check(&needs)?;
            let step = Step::Staging {
                stage: TextPath(stage.clone()),
            };
            let mut journal = begin(step)?;
            let result = add.add(&mut reader, additions, &stage, &mut journal);
            (journal, result)
        }
    };
    match result {
        Ok(()) => Ok(Populated {
            tree,
            journal,
            totals: index.totals,
            kept,
        }),
        Err(cause) => {
            roll_back(&tree, &mut journal, &explain(&cause))?;
            Err(cause)
        }
    }
}

impl Populated {
    /// What was put in.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Keeps the new contents for good: stash and journal are removed.
    ///
    /// # Errors
    /// When they cannot be removed. The new contents are in place; what a later
    /// `recover` does depends on whether the journal had got to say so: it is
    /// written first, and an error of that write leaves the populate to be undone.
    pub fn commit(mut self) -> Result<(), PopulateError> {
        if let Some(stash) = self.journal.step().stash().map(Path::to_owned) {
            self.journal.set(Step::Done {
                stash: TextPath(stash.clone()),
            })?;
            remove_file(&stash)?;
        }
        if let Step::Adding { stage, .. } = self.journal.step().clone() {
            self.journal.set(Step::Staging {
                stage: stage.clone(),
            })?;
            aside::forget(&self.tree, &stage.0)?;
        }
        if let Some(kept) = &self.kept {
            kept.let_go(&self.tree)?;
        }
        self.journal.remove()
    }

    /// Puts everything back as it was before.
    ///
    /// Replaced contents come back exactly; added names are removed where they
    /// still have the inode that was put in, and what others have put into added
    /// directories stays.
    ///
    /// # Errors
    /// [`PopulateError::NotRolledBack`]: the stash and the journal are kept, and
    /// `recover` can try again.
    pub fn rollback(mut self) -> Result<(), PopulateError> {
        roll_back(&self.tree, &mut self.journal, "rolling back was asked for")
    }
}

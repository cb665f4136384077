//! What a restore keeps on a tmpfs for the containers that are to be restored there after it.
//!
//! Containers that share inodes and were saved at one moment are restored one after the other, and
//! the first runs on meanwhile: it may unlink what the next one needs, and nothing could bring an
//! inode back to which no name leads (linkat(2)). So each inode that they share gets one more
//! name, in a directory that only root can enter, until the last of them has come. The name is the
//! inode's number where it was saved, so that each archive finds its inodes there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::linkat;

use super::clear::{clear, remove};
use super::entry::Kind;
use super::error::PopulateError;
use super::index::{Index, IndexEntry};
use super::origin::Origin;
use super::pax;
use super::tree::Tree;

/// How the directory's name begins; the moment follows.
const PREFIX: &str = ".remap-together-";

/// How the name of a file begins that says that a container has come; its id follows.
const HERE: &str = "is.";

/// The containers that were saved at one moment and share inodes, and which of them this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// Names the moment, and no other.
    pub moment: String,
    /// This container's id when it was saved.
    pub member: String,
    /// The ids of all of them.
    pub members: BTreeSet<String>,
    /// Those that have to be restored before: they may have changed what they share between their
    /// checkpoint and this one.
    pub after: BTreeSet<String>,
    /// Inodes of the archive that others of them hold as well, by the number that they had.
    pub shared: HashSet<u64>,
}

/// Whether a path of a tree is in, or is, such a directory.
pub(super) fn is_below(path: &Path) -> bool {
    let first = path.iter().next();
    first.is_some_and(|first| first.as_bytes().starts_with(PREFIX.as_bytes()))
}

/// Whether something is kept in `dir` for containers of a moment.
#[must_use]
pub fn is_kept(dir: &Path, moment: &str) -> bool {
    dir.join(format!("{PREFIX}{moment}")).is_dir()
}

/// What is kept for a container.
#[derive(Debug)]
pub(super) struct Kept {
    together: Together,
    /// The directory, whether it is there yet or not.
    dir: PathBuf,
    is_there: bool,
    /// The numbers of the inodes here, by the numbers that they had.
    inodes: HashMap<u64, u64>,
}

impl Kept {
    /// Looks at what is there; nothing is written.
    ///
    /// # Errors
    /// The container cannot come now.
    pub(super) fn look(tree: &Tree, together: &Together) -> Result<Self, PopulateError> {
        let dir = PathBuf::from(format!("{PREFIX}{}", together.moment));
        let mut kept = Self {
            together: together.clone(),
            is_there: false,
            inodes: HashMap::new(),
            dir,
        };
        for name in names(tree, Path::new(""))? {
            if name == kept.dir {
                kept.is_there = true;
            } else if is_below(Path::new(&name)) {
                return Err(PopulateError::OtherMoment(tree.place(Path::new(&name))));
            }
        }
        let mut here = BTreeSet::new();
        if kept.is_there {
            for name in names(tree, &kept.dir)? {
                if let Some(member) = name.to_str().and_then(|name| name.strip_prefix(HERE)) {
                    here.insert(member.to_owned());
                } else if let Some(inode) = pax::number(name.as_bytes()) {
                    let path = kept.dir.join(&name);
                    let stat = tree.pin(&path).and_then(|pinned| pinned.stat());
                    let stat = stat.map_err(PopulateError::io("stat", tree.place(&path)))?;
                    kept.inodes.insert(inode, stat.st_ino);
                }
            }
        }
        if here.contains(&together.member) {
            return Err(PopulateError::Again {
                member: together.member.clone(),
                place: tree.place(&kept.dir),
            });
        }
        let missing: Vec<&str> = together
            .after
            .difference(&here)
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            Ok(kept)
        } else {
            Err(PopulateError::TooEarly {
                after: missing.join(", "),
                target: tree.place(Path::new("")),
            })
        }
    }

    /// The number here of an inode of the archive, if another container has brought it.
    pub(super) fn here(&self, origin: Option<Origin>) -> Option<u64> {
        self.inodes.get(&origin?.inode).copied()
    }

    /// Makes `name` in `directory` one more name of an inode of the archive, if it is here.
    pub(super) fn link(
        &self,
        tree: &Tree,
        origin: Option<Origin>,
        directory: impl AsFd,
        name: &OsStr,
    ) -> io::Result<bool> {
        let Some(origin) = origin.filter(|origin| self.inodes.contains_key(&origin.inode)) else {
            return Ok(false);
        };
        let kept = tree.directory(&self.dir)?;
        let from = origin.inode.to_string();
        linkat(&kept, from.as_str(), directory, name, AtFlags::empty())?;
        Ok(true)
    }

    /// Checks that an inode that goes on here is still what CRIU expects: a file of another size is
    /// refused (CRIU, `validate_file`).
    pub(super) fn check(&self, tree: &Tree, entry: &IndexEntry) -> Result<(), PopulateError> {
        let Some(origin) = entry.origin.filter(|_| entry.kind == Kind::Regular) else {
            return Ok(());
        };
        if !self.inodes.contains_key(&origin.inode) {
            return Ok(());
        }
        let path = self.dir.join(origin.inode.to_string());
        let stat = tree.pin(&path).and_then(|pinned| pinned.stat());
        let stat = stat.map_err(PopulateError::io("stat", tree.place(&path)))?;
        if u64::try_from(stat.st_size) == Ok(entry.size) {
            return Ok(());
        }
        Err(PopulateError::GoneOn {
            path: tree.place(&entry.path),
            then: entry.size,
            now: stat.st_size,
        })
    }

    /// Makes, in the stage, what is to be kept for those that come after; returns the new names of
    /// the target, parents first, and those of them whose parent is there already.
    pub(super) fn stage(
        &self,
        staged: &Tree,
        index: &Index,
    ) -> Result<(Vec<PathBuf>, Vec<PathBuf>), PopulateError> {
        let mut names = vec![self.dir.join(format!("{HERE}{}", self.together.member))];
        let mut make = || -> io::Result<()> {
            mkdirat(staged, &self.dir, Mode::S_IRWXU)?;
            let dir = staged.directory(&self.dir)?;
            let marker = format!("{HERE}{}", self.together.member);
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            openat(&dir, marker.as_str(), flags, Mode::S_IRUSR)?;
            for entry in &index.entries {
                let shared = entry.origin.filter(|origin| {
                    self.together.shared.contains(&origin.inode)
                        && !self.inodes.contains_key(&origin.inode)
                });
                if let Some(origin) = shared {
                    let (from, name) = staged.parent(&entry.path)?;
                    let to = origin.inode.to_string();
                    linkat(&from, name, &dir, to.as_str(), AtFlags::empty())?;
                    names.push(self.dir.join(to));
                }
            }
            Ok(())
        };
        make().map_err(PopulateError::io("make", staged.place(&self.dir)))?;
        if self.is_there {
            return Ok((names.clone(), names));
        }
        names.insert(0, self.dir.clone());
        Ok((names, vec![self.dir.clone()]))
    }

    /// Removes what is kept, if all have come.
    pub(super) fn let_go(&self, tree: &Tree) -> Result<(), PopulateError> {
        let here: BTreeSet<OsString> = names(tree, &self.dir)?.into_iter().collect();
        let has_come = |member: &String| here.contains(OsStr::new(&format!("{HERE}{member}")));
        if !self.together.members.iter().all(has_come) {
            return Ok(());
        }
        let place = tree.place(&self.dir);
        let dir = tree.directory(&self.dir);
        let dir = dir.map_err(PopulateError::io("open", &place))?;
        let below = Tree::below(dir.as_fd(), place.clone());
        clear(&below.map_err(PopulateError::io("open", &place))?)?;
        remove(tree, &self.dir, Kind::Directory).map_err(PopulateError::io("remove", place))
    }
}

fn names(tree: &Tree, dir: &Path) -> Result<Vec<OsString>, PopulateError> {
    tree.pin(dir)
        .and_then(|pinned| pinned.names())
        .map_err(PopulateError::io("list", tree.place(dir)))
}

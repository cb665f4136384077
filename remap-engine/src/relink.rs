//! Makes the names of ghosts again, on the target.
//!
//! CRIU makes a ghost beside the path of its first client, as `PATH.cr.ID.ghost`, opens it for each
//! client by a name that is gone right after, and removes the ghost when all tasks are restored. In
//! between it runs its `post-restore` script (CRIU `restore_root_task`, `create_ghost`): that is the
//! only moment at which the inode has a name, by which it can be linked. CRIU is held then, all names
//! are made, and the ghosts get what CRIU's images cannot hold of them.
//!
//! The names were found free before anything was touched. A note says what is to be made, so that a
//! restore that fails, or whose process is killed, takes back its names and no others: those that
//! lead to the inode that CRIU has made for it.

mod error;
mod note;
mod place;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::bundle::Bundle;
use crate::ghosts::GhostFile;

pub use self::error::RelinkError;
use self::note::{Note, NotedGhost};
use self::place::Place;

/// The ghosts of a restore.
#[derive(Debug)]
pub struct Relink {
    note: Note,
    /// Whether CRIU may have made ghosts.
    begun: bool,
}

impl Relink {
    /// Finds the place of each name on this host, and makes sure that it is free. `note` is where
    /// the note will be.
    ///
    /// # Errors
    /// All names that are taken, or what is missing. Nothing was changed.
    pub fn prepare(
        bundle: &Bundle,
        ghosts: &[GhostFile],
        note: &Path,
    ) -> Result<Self, RelinkError> {
        let mut noted = Vec::new();
        let mut taken = Vec::new();
        for ghost in ghosts {
            let destination = &ghost.destination;
            let target = bundle
                .host_path(destination)
                .ok_or_else(|| RelinkError::NoBind(destination.clone()))?;
            let names = ghost.names.iter().map(|name| &name.0);
            let directories = ghost.directories.iter().map(|directory| &directory.path);
            let mut paths = names.chain(directories).chain([&ghost.beside]);
            if let Some(path) = paths.find(|path| !is_below(path)) {
                return Err(RelinkError::Malformed(path.clone()));
            }
            let place = Place::open(&target)?;
            let mut missing = Vec::new();
            for directory in &ghost.directories {
                if place.is_missing(&directory.path)? {
                    missing.push(directory.clone());
                }
            }
            for name in &ghost.names {
                if place.is_taken(&name.0)? {
                    taken.push(target.join(&name.0));
                }
            }
            let (device, root) = place.identity();
            let one = NotedGhost {
                target,
                device,
                root,
                id: ghost.id,
                beside: ghost.beside.clone(),
                names: ghost.names.clone(),
                attributes: ghost.attributes.clone(),
                missing,
                inode: None,
            };
            for path in one.ghost_paths() {
                if place.is_there(&path) {
                    taken.push(one.target.join(path));
                }
            }
            noted.push(one);
        }
        if !taken.is_empty() {
            return Err(RelinkError::Taken(taken));
        }
        Ok(Self {
            note: Note::new(note, noted),
            begun: false,
        })
    }

    /// Writes the note, and makes the directories that are missing: from here on CRIU may make
    /// ghosts.
    ///
    /// # Errors
    /// They cannot be made; those that were stay, for [`Relink::rollback`].
    pub fn begin(&mut self) -> Result<(), RelinkError> {
        if self.note.ghosts().is_empty() {
            return Ok(());
        }
        self.begun = true;
        self.note.store()?;
        for ghost in self.note.ghosts() {
            let place = Place::open(&ghost.target)?;
            for directory in &ghost.missing {
                place.make(directory)?;
            }
        }
        Ok(())
    }

    /// Whether CRIU has to be held for it.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.note.ghosts().is_empty()
    }

    /// Makes the names, while CRIU is held and its ghosts are there.
    ///
    /// # Errors
    /// A ghost is missing, or a name cannot be made: somebody else has taken it meanwhile. Names
    /// that were made stay, for [`Relink::rollback`].
    pub fn link(&mut self) -> Result<(), RelinkError> {
        let found = self.note.ghosts().iter().map(find);
        let found: Vec<(Place, PathBuf, u64)> = found.collect::<Result<_, _>>()?;
        let inodes = found.iter().map(|(_, _, inode)| *inode);
        self.note.set_inodes(inodes.collect())?;
        for (ghost, (place, path, inode)) in self.note.ghosts().iter().zip(found) {
            place.give(&path, &ghost.attributes)?;
            for name in &ghost.names {
                place.link(&path, &name.0, inode)?;
            }
        }
        Ok(())
    }

    /// The tasks run: the names stay.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub fn commit(self) -> Result<(), RelinkError> {
        self.note.remove()
    }

    /// The restore has failed, and nothing of it runs any more: removes the names of its ghosts,
    /// CRIU's own among them. Does nothing before [`Relink::begin`].
    ///
    /// # Errors
    /// One cannot be removed; the others are tried all the same, and the note stays.
    pub fn rollback(self) -> Result<(), RelinkError> {
        if !self.begun {
            return Ok(());
        }
        let mut result = Ok(());
        // Directories after the names that are in them, also those of other ghosts.
        for take_back in [take_back_names, take_back_directories] {
            for ghost in self.note.ghosts() {
                if let Err(error) = take_back(ghost) {
                    result = Err(error);
                }
            }
        }
        result.and_then(|()| self.note.remove())
    }

    /// The same for a restore whose process was killed, by its note. Without one there is nothing to
    /// do.
    ///
    /// # Errors
    /// As [`Relink::rollback`]; or the note cannot be read.
    pub fn recover(note: &Path) -> Result<(), RelinkError> {
        match Note::read(note)? {
            Some(note) => Self { note, begun: true }.rollback(),
            None => Ok(()),
        }
    }
}

/// Whether a path of the manifest stays below the mount point.
fn is_below(path: &Path) -> bool {
    let mut components = path.components();
    !path.as_os_str().is_empty() && components.all(|one| matches!(one, Component::Normal(_)))
}

impl NotedGhost {
    /// Where CRIU may make the ghost: beside its first client, or, where that directory is not
    /// there, in the next above it (`trim_last_parent`).
    fn ghost_paths(&self) -> impl Iterator<Item = PathBuf> {
        let mut name = self.beside.file_name().unwrap_or_default().to_owned();
        name.push(format!(".cr.{:x}.ghost", self.id));
        let above = self.beside.ancestors().skip(1);
        above.map(move |dir| dir.join(&name))
    }

    /// The directories in which CRIU or [`Relink::link`] may have made names.
    fn directories(&self) -> Vec<PathBuf> {
        let names = self.names.iter().filter_map(|name| name.0.parent());
        let above = self.beside.ancestors().skip(1);
        let mut directories: Vec<PathBuf> = names.chain(above).map(Path::to_owned).collect();
        directories.sort();
        directories.dedup();
        directories
    }

    fn is_ghost_name(&self, name: &OsStr) -> bool {
        let paths = self.ghost_paths();
        let names = paths.filter_map(|path| path.file_name().map(OsStr::to_owned));
        names
            .into_iter()
            .any(|own: OsString| own.as_bytes() == name.as_bytes())
    }
}

/// Where CRIU has made a ghost, and its inode.
fn find(ghost: &NotedGhost) -> Result<(Place, PathBuf, u64), RelinkError> {
    let place = Place::open(&ghost.target)?;
    for path in ghost.ghost_paths() {
        if let Some(inode) = place.inode(&path) {
            return Ok((place, path, inode));
        }
    }
    Err(RelinkError::NoGhost {
        beside: ghost.target.join(&ghost.beside),
        id: ghost.id,
    })
}

fn take_back_names(ghost: &NotedGhost) -> Result<(), RelinkError> {
    let Some(place) = same_place(ghost) else {
        return Ok(());
    };
    let inode = ghost
        .inode
        .or_else(|| ghost.ghost_paths().find_map(|path| place.inode(&path)));
    let Some(inode) = inode else {
        return Ok(());
    };
    for directory in ghost.directories() {
        place.remove_names(&directory, inode, |name| ghost.is_ghost_name(name))?;
    }
    Ok(())
}

fn take_back_directories(ghost: &NotedGhost) -> Result<(), RelinkError> {
    let Some(place) = same_place(ghost) else {
        return Ok(());
    };
    for directory in ghost.missing.iter().rev() {
        place.remove_empty(&directory.path)?;
    }
    Ok(())
}

/// The directory that was noted; `None` if it is gone, or another is in its place, as after a
/// reboot.
fn same_place(ghost: &NotedGhost) -> Option<Place> {
    let place = Place::open(&ghost.target).ok()?;
    (place.identity() == (ghost.device, ghost.root)).then_some(place)
}

//! Files that go into the images because the policy of their mount wants it: each inode becomes one
//! ghost, whatever names and ways it is held by.
//!
//! Left alone, CRIU makes a ghost of an inode without names only. Of one that has some it expects
//! that its names are on the target, or a name of CRIU's own (`link_remap.N`). So while CRIU is held
//! the contents are written as a ghost image, and in the remap image every file that is this inode
//! becomes a client of the ghost.

mod attribute;
mod attributes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::attribute::{Seen, attribute};
use crate::carry::{self, DirectoryFacts, Names};
use crate::criu::files::{DumpedFile, Remap};
use crate::criu::ghost::{self, GhostError, WrittenGhost};
use crate::criu::image::{Format, ImageError};
use crate::criu::remap;
use crate::mountmap::Mount;
use crate::plan::{Decision, FilePlan, RemapPlan};
use crate::process::{IdMap, Process, ProcessError, device_of};
use crate::scan::{self, ScanError};

pub use self::attribute::Unattributed;
pub use self::attributes::{GhostAttributes, GhostTime, GhostXattr};

/// An inode that is in the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GhostFile {
    /// Where its mount is in the container, as the bundle has it.
    #[serde(with = "crate::text")]
    pub destination: PathBuf,
    /// CRIU's number of the ghost.
    pub id: u32,
    /// The path beside which CRIU makes the ghost, relative to the mount point.
    #[serde(with = "crate::text")]
    pub beside: PathBuf,
    /// The names to be made again, relative to the mount point; empty if it is to have none.
    pub names: Vec<GhostName>,
    /// The directories in which these are, below the mount point, those above first.
    #[serde(default)]
    pub directories: Vec<GhostDirectory>,
    /// What the image cannot hold of it.
    #[serde(default)]
    pub attributes: GhostAttributes,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// Bytes of data in the image, without holes.
    pub data_bytes: u64,
}

/// A name of a ghost, as text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GhostName(#[serde(with = "crate::text")] pub PathBuf);

/// A directory with a name of a ghost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GhostDirectory {
    /// Relative to the mount point.
    #[serde(with = "crate::text")]
    pub path: PathBuf,
    /// How to make it where it is not there.
    #[serde(flatten)]
    pub facts: DirectoryFacts,
}

/// Ghosts by policy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GhostsError {
    /// A mount cannot be opened.
    #[error(transparent)]
    Open(#[from] ScanError),
    /// A process cannot be looked at.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The names cannot be found.
    #[error("cannot list the files of mount {destination}")]
    Walk {
        /// The mount point.
        destination: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An image cannot be read or written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image directory cannot be read.
    #[error("cannot list the image directory {path}")]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in the images is not what was seen.
    #[error("the images cannot be brought together with what the container holds: {}", list(.0))]
    Unattributed(Vec<Unattributed>),
    /// No holder leads to the inode any more.
    #[error("nobody holds inode {inode} on {destination} any more")]
    Gone {
        /// The inode.
        inode: u64,
        /// The mount point.
        destination: PathBuf,
    },
    /// One file cannot become a ghost.
    #[error("cannot put inode {inode} on {destination} into the images")]
    Ghost {
        /// The inode.
        inode: u64,
        /// The mount point.
        destination: PathBuf,
        /// Why.
        #[source]
        source: GhostError,
    },
    /// It is held by way of two mounts.
    #[error(
        "inode {inode} on {destination} is held by way of another mount as well, as {path:?}; use it by one of them only"
    )]
    Apart {
        /// The inode.
        inode: u64,
        /// The mount point.
        destination: PathBuf,
        /// The other path.
        path: PathBuf,
    },
    /// A file has changed since CRIU has looked at it.
    #[error(
        "inode {inode} on {destination} is not as CRIU has seen it (it has {size_bytes} bytes, mode {mode:o}): somebody outside the container changes it; stop them, or try again"
    )]
    Changed {
        /// The inode.
        inode: u64,
        /// The mount point.
        destination: PathBuf,
        /// Its length now.
        size_bytes: u64,
        /// Its mode now.
        mode: u32,
    },
}

fn list(all: &[Unattributed]) -> String {
    let all = all.iter().map(ToString::to_string);
    all.collect::<Vec<_>>().join("; also: ")
}

/// The inodes that are to become ghosts, with the names that they had before the dump.
#[derive(Debug, Default)]
pub struct Ghosts {
    wanted: Vec<Wanted>,
    /// Ids of the mounts whose policy is to make ghosts.
    mounts: HashSet<u64>,
}

#[derive(Debug)]
struct Wanted {
    file: FilePlan,
    mount: Mount,
    names: Vec<PathBuf>,
    directories: Vec<GhostDirectory>,
}

impl Ghosts {
    /// Finds the names of the inodes that the plan wants as ghosts. `root` is the container's init;
    /// CRIU has not made names of its own yet.
    ///
    /// # Errors
    /// A mount cannot be read. Nothing is changed.
    pub fn find(root: &Process, plan: &RemapPlan) -> Result<Self, GhostsError> {
        let mut ghosts = Self::default();
        for mount in plan.map.mounts.iter().filter(|mount| mount.is_ghosted()) {
            ghosts.mounts.insert(mount.id);
            let is_wanted = |file: &&FilePlan| {
                let decided = [Decision::GhostRelinked, Decision::GhostNameless];
                file.is_on(mount) && file.device == mount.device && decided.contains(&file.decision)
            };
            let files: Vec<&FilePlan> = plan.files.iter().filter(is_wanted).collect();
            let mut names = names(root, mount, &files)?;
            for file in files {
                let own = names.of.remove(&file.inode).unwrap_or_default();
                ghosts.wanted.push(Wanted {
                    file: file.clone(),
                    mount: mount.clone(),
                    directories: directories(&own, &names),
                    names: own,
                });
            }
        }
        Ok(ghosts)
    }

    /// Whether there may be such inodes.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// Writes the ghost images and makes `files`, those in CRIU's images in `dir`, their clients
    /// there, while CRIU is held. Nothing is synced.
    ///
    /// # Errors
    /// See [`GhostsError`]; what was written stays, for the caller to remove.
    pub fn capture(
        &self,
        root: &Process,
        dir: &Path,
        files: &mut [DumpedFile],
    ) -> Result<Vec<GhostFile>, GhostsError> {
        if !self.are_wanted() {
            return Ok(Vec::new());
        }
        let on_it = |file: &&DumpedFile| file.mount_id.is_some_and(|id| self.mounts.contains(&id));
        let seen = files.iter().filter(on_it).map(|file| see(root, dir, file));
        let seen: Vec<Seen> = seen.collect::<Result<_, _>>()?;
        let plans: Vec<FilePlan> = self.wanted.iter().map(|one| one.file.clone()).collect();
        let found = attribute(&seen, &plans, &self.mounts).map_err(GhostsError::Unattributed)?;
        let first_id = remap::unused_ghost_id(dir, files).map_err(|source| GhostsError::List {
            path: dir.to_owned(),
            source,
        })?;
        let mut clients_of: Vec<Vec<&DumpedFile>> = vec![Vec::new(); self.wanted.len()];
        for file in files.iter() {
            let index = found.get(&file.id);
            let clients = index.and_then(|index| clients_of.get_mut(*index));
            clients.into_iter().for_each(|clients| clients.push(file));
        }
        let ids = root.id_maps()?;
        let mut done = Vec::new();
        let mut clients = BTreeMap::new();
        for ((wanted, own), id) in self.wanted.iter().zip(clients_of).zip(first_id..) {
            let (written, attributes) = wanted.write(&dir.join(ghost::file_name(id)), &ids)?;
            wanted.check(&written, &own)?;
            clients.extend(own.iter().map(|file| (file.id, id)));
            done.push((wanted, id, written, attributes));
        }
        if clients.is_empty() {
            return Ok(Vec::new());
        }
        let first = remap::make_ghosts(dir, &clients)?;
        let by_id: HashMap<u32, &DumpedFile> = files.iter().map(|file| (file.id, file)).collect();
        let beside = |id: u32| by_id.get(first.get(&id)?).copied();
        let mut records = Vec::new();
        for (wanted, id, written, attributes) in done {
            let client = beside(id);
            records.extend(client.map(|client| wanted.record(id, client, written, attributes)));
        }
        for file in files {
            let ghost = clients.get(&file.id).copied().map(Remap::Ghost);
            file.remap = ghost.or(file.remap.take());
        }
        Ok(records)
    }
}

/// All names of the files on a mount, by inode.
fn names(root: &Process, mount: &Mount, files: &[&FilePlan]) -> Result<Names, GhostsError> {
    let named = files
        .iter()
        .filter(|file| file.decision == Decision::GhostRelinked);
    let inodes: HashSet<u64> = named.map(|file| file.inode).collect();
    if inodes.is_empty() {
        return Ok(Names::default());
    }
    let dir = scan::open_mount(root, mount)?;
    carry::names_of(dir.as_fd(), &inodes).map_err(|source| GhostsError::Walk {
        destination: mount.destination.clone(),
        source,
    })
}

/// The directories of names, those above first.
fn directories(own: &[PathBuf], names: &Names) -> Vec<GhostDirectory> {
    let above = own.iter().flat_map(|name| name.ancestors().skip(1));
    let paths: BTreeSet<&Path> = above.collect();
    let known = paths.into_iter().filter_map(|path| {
        Some(GhostDirectory {
            path: path.to_owned(),
            facts: *names.directories.get(path)?,
        })
    });
    known.collect()
}

/// Where a file of the dump leads.
fn see(root: &Process, dir: &Path, file: &DumpedFile) -> Result<Seen, ImageError> {
    let at = |path: &Path| root.identity(&Path::new("/").join(path));
    let inode = match &file.remap {
        Some(Remap::Ghost(id)) => ghost::inode_of(dir, *id)?,
        Some(Remap::Linked(path)) => at(path),
        Some(Remap::Procfs) => None,
        None => at(&file.path),
    };
    Ok(Seen {
        file: file.clone(),
        inode,
    })
}

impl Wanted {
    /// The inode, by way of whoever holds it.
    fn open(&self) -> Result<OwnedFd, GhostsError> {
        let held = self.file.holders.iter().find_map(|holder| {
            let process = Process::pin(holder.pid).ok()?;
            let file = process.held_file(&holder.by).ok()?;
            let flags = rustix::fs::AtFlags::EMPTY_PATH;
            let wanted = rustix::fs::StatxFlags::BASIC_STATS;
            let stat = rustix::fs::statx(&file, "", flags, wanted).ok()?;
            let is_it = (device_of(&stat), stat.stx_ino) == (self.file.device, self.file.inode);
            is_it.then_some(file)
        });
        held.ok_or_else(|| GhostsError::Gone {
            inode: self.file.inode,
            destination: self.mount.destination.clone(),
        })
    }

    fn write(
        &self,
        path: &Path,
        ids: &(IdMap, IdMap),
    ) -> Result<(WrittenGhost, GhostAttributes), GhostsError> {
        let file = self.open()?;
        let write = || {
            let attributes = GhostAttributes::of(file.as_fd()).map_err(GhostError::Read)?;
            let written = ghost::write(path, Format::V1_1, file.as_fd(), ids)?;
            Ok((written, attributes))
        };
        write().map_err(|source| GhostsError::Ghost {
            inode: self.file.inode,
            destination: self.mount.destination.clone(),
            source,
        })
    }

    /// A restore compares the length and the mode of each client (CRIU `open_path`).
    fn check(&self, written: &WrittenGhost, files: &[&DumpedFile]) -> Result<(), GhostsError> {
        let fits = |file: &&DumpedFile| {
            file.size_bytes
                .is_none_or(|size| size == written.size_bytes)
                && file.mode.is_none_or(|mode| mode == written.mode)
        };
        if let Some(file) = files
            .iter()
            .find(|file| file.mount_id != Some(self.mount.id))
        {
            return Err(GhostsError::Apart {
                inode: self.file.inode,
                destination: self.mount.destination.clone(),
                path: file.path.clone(),
            });
        }
        if files.iter().all(fits) {
            return Ok(());
        }
        Err(GhostsError::Changed {
            inode: self.file.inode,
            destination: self.mount.destination.clone(),
            size_bytes: written.size_bytes,
            mode: written.mode,
        })
    }

    fn record(
        &self,
        id: u32,
        client: &DumpedFile,
        written: WrittenGhost,
        attributes: GhostAttributes,
    ) -> GhostFile {
        let mount = &self.mount;
        let path = Path::new("/").join(&client.path);
        let beside = path.strip_prefix(&mount.destination).unwrap_or(&path);
        GhostFile {
            destination: mount
                .asked_for
                .clone()
                .unwrap_or_else(|| mount.destination.clone()),
            id,
            beside: beside.to_owned(),
            names: self.names.iter().cloned().map(GhostName).collect(),
            directories: self.directories.clone(),
            attributes,
            size_bytes: written.size_bytes,
            data_bytes: written.data_bytes,
        }
    }
}

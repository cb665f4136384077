//! Whether the names can be made on this host: nothing is changed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat, openat2, statat};
use rustix::io::Errno;
use serde::Deserialize;

use super::LinkedFile;
use crate::bundle::Bundle;
use crate::link_remap::is_link_remap;

/// The names that a restore has to make, and where.
#[derive(Debug)]
pub struct Links(pub(super) Vec<Relink>);

/// One of them.
#[derive(Debug)]
pub(super) struct Relink {
    /// The directory of this host that is at the mount point.
    pub(super) root: PathBuf,
    /// What to make from what.
    pub(super) file: LinkedFile,
    /// Whether the name is there already, as in a copy of a root whose container ended with the
    /// checkpoint.
    pub(super) is_there: bool,
}

/// A name cannot be made here.
#[derive(Debug, thiserror::Error)]
pub enum LinkedError {
    /// The bundle does not say where the container's root is.
    #[error("cannot tell where the container's root is on this host")]
    Root(#[source] io::Error),
    /// The container has no bind mount there.
    #[error(
        "the checkpoint needs {survivor:?} on {destination}, but the container has no bind mount there; add the one that it had"
    )]
    NoBind {
        /// Mount point.
        destination: PathBuf,
        /// The name that lives.
        survivor: PathBuf,
    },
    /// Not a name that CRIU makes.
    #[error("the manifest asks for {0:?}, which is no name that CRIU makes")]
    NotOfCriu(PathBuf),
    /// The survivor is not there.
    #[error(
        "a process held a deleted file that is also {survivor:?} on {destination}, and {host_path} does not have it; {}", remedy(.destination)
    )]
    Missing {
        /// Mount point.
        destination: PathBuf,
        /// The name that lives.
        survivor: PathBuf,
        /// The directory of this host.
        host_path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The survivor is another file.
    #[error(
        "a process held a deleted file that is also {survivor:?} on {destination}, and what {host_path} has there differs: {difference}; {}", remedy(.destination)
    )]
    Differs {
        /// Mount point.
        destination: PathBuf,
        /// The name that lives.
        survivor: PathBuf,
        /// The directory of this host.
        host_path: PathBuf,
        /// In what.
        difference: String,
    },
    /// The name that CRIU asks for is another file.
    #[error(
        "CRIU needs the name {link:?} in {host_path} for a deleted file, and another file has it: remove that if it is left over from a checkpoint, or wait if another container is being restored"
    )]
    Taken {
        /// The name.
        link: PathBuf,
        /// The directory of this host.
        host_path: PathBuf,
    },
    /// A name cannot be made.
    #[error("cannot link {survivor:?} as {link:?} in {host_path}")]
    Link {
        /// The name that lives.
        survivor: PathBuf,
        /// The name.
        link: PathBuf,
        /// The directory of this host.
        host_path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The journal.
    #[error("cannot keep the journal {path}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn remedy(destination: &Path) -> &'static str {
    if destination == Path::new("/") {
        "take the checkpoint with the container's read-write layer, and restore with it (ctr: --rw at both)"
    } else {
        "the volume must hold the same files as at the checkpoint"
    }
}

impl Links {
    /// Finds the place of each name, and holds what is there against the record.
    ///
    /// # Errors
    /// See [`LinkedError`].
    pub fn fit(bundle: &Bundle, links: &[LinkedFile]) -> Result<Self, LinkedError> {
        let relinks = links.iter().map(|file| Relink::fit(bundle, file));
        relinks.collect::<Result<_, _>>().map(Self)
    }
}

impl Relink {
    fn fit(bundle: &Bundle, file: &LinkedFile) -> Result<Self, LinkedError> {
        if !file.link.file_name().is_some_and(is_link_remap) {
            return Err(LinkedError::NotOfCriu(file.link.clone()));
        }
        let host_path = if file.destination == Path::new("/") {
            root_of(&bundle.path).map_err(LinkedError::Root)?
        } else {
            let path = bundle.host_path(&file.destination);
            path.ok_or_else(|| LinkedError::NoBind {
                destination: file.destination.clone(),
                survivor: file.survivor.clone(),
            })?
        };
        let missing = |errno: Errno| LinkedError::Missing {
            destination: file.destination.clone(),
            survivor: file.survivor.clone(),
            host_path: host_path.clone(),
            source: errno.into(),
        };
        let root = open_root(&host_path).map_err(missing)?;
        let survivor = stat_below(&root, &file.survivor).map_err(missing)?;
        if let Some(difference) = difference(&survivor, file) {
            return Err(LinkedError::Differs {
                destination: file.destination.clone(),
                survivor: file.survivor.clone(),
                host_path,
                difference,
            });
        }
        let is_there = match stat_below(&root, &file.link) {
            Err(Errno::NOENT) => false,
            Ok(link) if is_same(&link, &survivor) => true,
            Ok(_) => {
                return Err(LinkedError::Taken {
                    link: file.link.clone(),
                    host_path,
                });
            }
            Err(errno) => return Err(missing(errno)),
        };
        Ok(Self {
            root: host_path,
            file: file.clone(),
            is_there,
        })
    }
}

/// Where the container's root is on the host (OCI runtime specification, "Root").
fn root_of(bundle: &Path) -> io::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Config {
        root: Root,
    }
    #[derive(Deserialize)]
    struct Root {
        path: PathBuf,
    }
    let text = std::fs::read(bundle.join("config.json"))?;
    let config: Config = serde_json::from_slice(&text)?;
    Ok(bundle.join(config.root.path))
}

fn difference(found: &Stat, wanted: &LinkedFile) -> Option<String> {
    let size = u64::try_from(found.st_size).unwrap_or(0);
    if found.st_mode != wanted.mode {
        let (found, wanted) = (found.st_mode, wanted.mode);
        Some(format!("its mode is {found:o}, not {wanted:o}"))
    } else if size != wanted.size_bytes {
        let wanted = wanted.size_bytes;
        Some(format!("it has {size} bytes, not {wanted}"))
    } else {
        None
    }
}

pub(super) fn open_root(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Opens the directory that holds `path`, and gives the name in it. Nothing on the way leads out of
/// `root`, to another mount, or by a symbolic link: the names are those that the kernel had shown.
pub(super) fn parent<'p>(
    root: &OwnedFd,
    path: &'p Path,
) -> rustix::io::Result<(OwnedFd, &'p OsStr)> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let dir = dir.unwrap_or(Path::new("."));
    let dir = openat2(root, dir, flags, Mode::empty(), beneath)?;
    Ok((dir, name))
}

/// What is at `path`, not following a symbolic link at its end.
pub(super) fn stat_below(root: &OwnedFd, path: &Path) -> rustix::io::Result<Stat> {
    let (dir, name) = parent(root, path)?;
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

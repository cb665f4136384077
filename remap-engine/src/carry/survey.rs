//! Measures contents: those that are about to be replaced, with what forbids it, and those that
//! would be captured.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use nix::sys::stat::FileStat;

use super::entry::Kind;
use super::error::PopulateError;
use super::standing::Standing;
use super::tree::Tree;
use super::walk::{Found, Walk};

/// What removing the contents frees, and what saving them takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Storage of all inodes below the root, in bytes.
    pub(super) bytes: u64,
    /// Inodes below the root.
    pub(super) inodes: u64,
    /// Names below the root.
    pub(super) names: u64,
    /// What stays.
    pub(super) standing: Standing,
}

/// Walks the contents.
///
/// # Errors
/// An inode with names elsewhere, which could not be put back.
pub(super) fn survey(tree: &Tree) -> Result<Survey, PopulateError> {
    let mut survey = Survey::default();
    let mut linked: HashMap<(u64, u64), (PathBuf, u64, u64)> = HashMap::new();
    for found in Walk::new(tree) {
        let (path, kind, stat) = match found.map_err(|error| error.below(tree))? {
            Found::Entry {
                path, kind, stat, ..
            } => (path, kind, stat),
            Found::Mount(path) => {
                survey.standing.note(path);
                continue;
            }
        };
        if path.as_os_str().is_empty() {
            continue;
        }
        survey.names += 1;
        let nlink = super::capture::nlink(&stat);
        if kind != Kind::Directory && nlink > 1 {
            let known = linked
                .entry((stat.st_dev, stat.st_ino))
                .or_insert_with(|| (path, nlink, 0));
            known.2 += 1;
            if known.2 > 1 {
                continue;
            }
        }
        survey.inodes += 1;
        survey.bytes = survey.bytes.saturating_add(allocated(&stat));
    }
    match linked
        .into_values()
        .find(|(_, nlink, inside)| nlink != inside)
    {
        None => Ok(survey),
        Some((path, nlink, inside)) => Err(PopulateError::OutsideLinks {
            path: tree.place(&path),
            nlink,
            inside,
        }),
    }
}

/// What [`capture`](super::capture()) would make of a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The inodes that it would save, that of the directory among them, with the bytes that each has
    /// allocated.
    pub sizes: HashMap<u64, u64>,
    /// Names of sockets, which it would leave out.
    pub sockets: Vec<PathBuf>,
}

/// Measures the directory `root`. What vanishes meanwhile is left out.
///
/// # Errors
/// Something in it cannot be read.
pub fn measure(root: BorrowedFd<'_>) -> io::Result<Measured> {
    let tree = Tree::below(root, PathBuf::new())?;
    let mut measured = Measured::default();
    for found in Walk::new(&tree) {
        match found.map_err(|error| error.source)? {
            Found::Entry {
                path,
                kind: Kind::Socket,
                ..
            } => measured.sockets.push(path),
            Found::Entry { stat, .. } => {
                measured.sizes.insert(stat.st_ino, allocated(&stat));
            }
            Found::Mount(_) => {}
        }
    }
    Ok(measured)
}

fn allocated(stat: &FileStat) -> u64 {
    let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
    blocks.saturating_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_inode_is_measured_once_and_a_hole_counts_nothing() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("d/file"), [1; 5000]).unwrap();
        std::fs::hard_link(path("d/file"), path("link")).unwrap();
        std::fs::File::create(path("hole"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        drop(std::os::unix::net::UnixListener::bind(path("d/socket")).unwrap());
        let root = std::fs::File::open(dir.path()).unwrap();
        let Measured { sizes, sockets } = measure(root.as_fd()).unwrap();
        assert_eq!(sockets, [PathBuf::from("d/socket")]);
        assert_eq!(sizes.len(), 4);
        let inode = |name: &str| std::fs::metadata(path(name)).unwrap().ino();
        assert_eq!(sizes.get(&inode("link")), Some(&8192));
        assert_eq!(sizes.get(&inode("hole")), Some(&0));
    }
}

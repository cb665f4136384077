//! Finds the names of inodes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entry::Kind;
use super::tree::Tree;
use super::walk::{Found, Walk};

/// The names of inodes below a directory, relative to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By inode number.
    pub of: HashMap<u64, Vec<PathBuf>>,
    /// The directories in which they are, and those above; without the root.
    pub directories: HashMap<PathBuf, DirectoryFacts>,
}

/// What makes a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryFacts {
    /// Permission, set-ID and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// All names that the inodes with these numbers have below the directory `root`. Other mounts are
/// not entered; what vanishes meanwhile is left out.
///
/// # Errors
/// Something in it cannot be read.
pub fn names_of(root: BorrowedFd<'_>, inodes: &HashSet<u64>) -> io::Result<Names> {
    let tree = Tree::below(root, PathBuf::new())?;
    let mut names = Names::default();
    for found in Walk::new(&tree) {
        let Found::Entry {
            path, stat, kind, ..
        } = found.map_err(|error| error.source)?
        else {
            continue;
        };
        if kind == Kind::Directory && !path.as_os_str().is_empty() {
            let facts = DirectoryFacts {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
            };
            names.directories.insert(path.clone(), facts);
        }
        if inodes.contains(&stat.st_ino) {
            names.of.entry(stat.st_ino).or_default().push(path);
        }
    }
    let above: HashSet<PathBuf> = names
        .of
        .values()
        .flatten()
        .flat_map(|path| above(path))
        .collect();
    names.directories.retain(|path, _| above.contains(path));
    Ok(names)
}

fn above(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.ancestors().skip(1).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_name_is_found_in_any_directory() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::write(path("d/file"), b"").unwrap();
        std::fs::write(path("other"), b"").unwrap();
        std::fs::hard_link(path("d/file"), path("link")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let inode = std::fs::metadata(path("link")).unwrap().ino();
        let names = names_of(root.as_fd(), &HashSet::from([inode, 1 << 60])).unwrap();
        let expected = vec![PathBuf::from("d/file"), "link".into()];
        assert_eq!(names.of, HashMap::from([(inode, expected)]));
        let directories: Vec<&PathBuf> = names.directories.keys().collect();
        assert_eq!(directories, [Path::new("d")]);
    }
}

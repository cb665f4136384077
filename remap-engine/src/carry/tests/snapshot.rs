//! What a tree looks like from outside, by other means than the code under test.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// All that can be seen of a name but for the change time and the inode's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) nlink: u64,
    pub(super) size: u64,
    pub(super) blocks: u64,
    pub(super) mtime: (i64, i64),
    pub(super) atime: (i64, i64),
    pub(super) device: u64,
    pub(super) xattrs: Vec<(OsString, Vec<u8>)>,
    pub(super) contents: Vec<u8>,
    /// The first name of the same inode.
    pub(super) same_as: PathBuf,
}

pub(super) fn snapshot(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut inodes = HashMap::new();
    visit(root, PathBuf::new(), &mut inodes, &mut all);
    all
}

fn visit(
    root: &Path,
    path: PathBuf,
    inodes: &mut HashMap<u64, PathBuf>,
    all: &mut BTreeMap<PathBuf, Seen>,
) {
    let full = if path.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(&path)
    };
    let metadata = full.symlink_metadata().unwrap();
    let mut names = Vec::new();
    let mut contents = Vec::new();
    if metadata.is_dir() {
        let mut dir = nix::dir::Dir::open(
            &full,
            OFlag::O_RDONLY | OFlag::O_NOATIME,
            nix::sys::stat::Mode::empty(),
        )
        .unwrap();
        for entry in dir.iter() {
            let name = OsString::from_vec(entry.unwrap().file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
    } else if metadata.is_file() {
        contents = read(&full);
    } else if metadata.is_symlink() {
        contents = std::fs::read_link(&full)
            .unwrap()
            .into_os_string()
            .into_vec();
    }
    let mut xattrs: Vec<_> = xattr::list(&full)
        .unwrap()
        .map(|name| {
            let value = xattr::get(&full, &name).unwrap().unwrap();
            (name, value)
        })
        .collect();
    xattrs.sort();
    let seen = Seen {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        nlink: metadata.nlink(),
        size: metadata.size(),
        blocks: metadata.blocks(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        // Reading a symbolic link moves its access time, there is no O_NOATIME for it.
        atime: if metadata.is_symlink() {
            (0, 0)
        } else {
            (metadata.atime(), metadata.atime_nsec())
        },
        device: metadata.rdev(),
        xattrs,
        contents,
        same_as: inodes
            .entry(metadata.ino())
            .or_insert_with(|| path.clone())
            .clone(),
    };
    all.insert(path.clone(), seen);
    for name in names {
        visit(root, path.join(name), inodes, all);
    }
}

fn read(path: &Path) -> Vec<u8> {
    let mut contents = Vec::new();
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NOATIME.bits())
        .open(path)
        .unwrap()
        .read_to_end(&mut contents)
        .unwrap();
    contents
}

/// Compares two snapshots, and names what differs.
pub(super) fn assert_same(old: &BTreeMap<PathBuf, Seen>, new: &BTreeMap<PathBuf, Seen>) {
    for (path, seen) in old {
        let Some(other) = new.get(path) else {
            panic!("{} is gone", path.display());
        };
        assert!(
            seen.contents == other.contents,
            "contents of {}",
            path.display()
        );
        let plain = |seen: &Seen| Seen {
            contents: Vec::new(),
            ..seen.clone()
        };
        assert_eq!(plain(seen), plain(other), "at {}", path.display());
    }
    for path in new.keys() {
        assert!(old.contains_key(path), "{} is new", path.display());
    }
}

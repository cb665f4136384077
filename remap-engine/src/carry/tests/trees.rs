//! Random trees, with everything that a tmpfs can hold.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, FallocateFlags, fallocate};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum What {
    Directory,
    /// Least length, pieces of data, storage reserved.
    File(u32, Vec<(u32, u16, u8)>, bool),
    /// One more name of the nth inode so far.
    Link(prop::sample::Index),
    Symlink(Vec<u8>),
    Fifo,
    Device(bool, u8, u8),
    Socket,
}

/// A name to make in the nth directory so far.
#[derive(Debug, Clone)]
pub(super) struct Item {
    parent: prop::sample::Index,
    name: Vec<u8>,
    what: What,
    mode: u32,
    owner: (u32, u32),
    times: [(i64, u32); 2],
    xattrs: Vec<(String, Vec<u8>)>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no separator", |byte| ![0, b'/'].contains(byte));
    prop_oneof![
        4 => prop::collection::vec(byte.clone(), 1..12),
        1 => prop::collection::vec(byte, 200..=255),
        1 => Just(b"gone (deleted)".to_vec()),
        1 => Just(b"a\nb c".to_vec()),
        1 => Just(b" ".to_vec()),
        1 => "[a-c]{1,2}".prop_map(String::into_bytes),
    ]
    .prop_filter("no dots", |name| name != b"." && name != b"..")
}

fn what() -> impl Strategy<Value = What> {
    let pieces = prop::collection::vec((0..300_000_u32, 1..9000_u16, any::<u8>()), 0..4);
    let target = prop::collection::vec(1..=255_u8, 1..300);
    prop_oneof![
        3 => Just(What::Directory),
        5 => (0..400_000_u32, pieces, prop::bool::weighted(0.1))
            .prop_map(|(size, pieces, reserved)| What::File(size, pieces, reserved)),
        3 => any::<prop::sample::Index>().prop_map(What::Link),
        1 => target.prop_map(What::Symlink),
        1 => Just(What::Fifo),
        1 => (any::<bool>(), any::<u8>(), any::<u8>()).prop_map(|(b, x, y)| What::Device(b, x, y)),
        1 => Just(What::Socket),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let id = prop_oneof![Just(0), 1..70_000_u32, Just(u32::MAX - 1)];
    let time = (-5_000_000_000..5_000_000_000_i64, 0..1_000_000_000_u32);
    let key = prop_oneof![
        "user\\.[a-z=%]{1,6}",
        "trusted\\.[a-z]{1,4}",
        Just("security.remap".to_owned()),
    ];
    let xattrs = prop::collection::vec((key, prop::collection::vec(any::<u8>(), 0..80)), 0..3);
    (
        any::<prop::sample::Index>(),
        name(),
        what(),
        0..=0o7777_u32,
        (id.clone(), id),
        [time.clone(), time],
        xattrs,
    )
        .prop_map(|(parent, name, what, mode, owner, times, xattrs)| Item {
            parent,
            name,
            what,
            mode,
            owner,
            times,
            xattrs,
        })
}

pub(super) fn tree() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(), 0..24)
}

/// Makes the tree; names that are taken already, or too long, are left out.
pub(super) fn make(root: &Path, items: &[Item], sockets: bool) {
    let mut directories = vec![root.to_owned()];
    let mut others: Vec<PathBuf> = Vec::new();
    let mut attributes = Vec::new();
    for item in items {
        let path = item
            .parent
            .get(&directories)
            .join(OsStr::from_bytes(&item.name));
        if path.as_os_str().len() > 3000 || path.symlink_metadata().is_ok() {
            continue;
        }
        match &item.what {
            What::Directory => {
                std::fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            What::File(size, pieces, reserved) => {
                let file = File::create(&path).unwrap();
                file.set_len((*size).into()).unwrap();
                for (offset, length, byte) in pieces {
                    let data = vec![*byte; (*length).into()];
                    file.write_all_at(&data, (*offset).into()).unwrap();
                }
                let length = i64::try_from(file.metadata().unwrap().len()).unwrap();
                if *reserved && length > 0 {
                    fallocate(&file, FallocateFlags::empty(), 0, length).unwrap();
                }
            }
            What::Link(to) if !others.is_empty() => {
                std::fs::hard_link(to.get(&others), &path).unwrap();
                others.push(path);
                continue;
            }
            What::Link(_) => continue,
            What::Symlink(target) => symlink(OsStr::from_bytes(target), &path).unwrap(),
            What::Fifo => mknod(&path, SFlag::S_IFIFO, Mode::S_IRWXU, 0).unwrap(),
            What::Device(block, major, minor) => {
                let kind = if *block {
                    SFlag::S_IFBLK
                } else {
                    SFlag::S_IFCHR
                };
                let device = makedev((*major).into(), (*minor).into());
                mknod(&path, kind, Mode::S_IRWXU, device).unwrap();
            }
            What::Socket if sockets => {
                mknod(&path, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).unwrap();
            }
            What::Socket => continue,
        }
        if !matches!(item.what, What::Directory) {
            others.push(path.clone());
        }
        attributes.push((path, item));
    }
    // The last item's attributes are the root's, too.
    if let Some(item) = items.last() {
        attributes.insert(0, (root.to_owned(), item));
    }
    for (path, item) in attributes.iter().rev() {
        set_attributes(path, item);
    }
}

fn set_attributes(path: &Path, item: &Item) {
    let metadata = path.symlink_metadata().unwrap();
    lchown(path, Some(item.owner.0), Some(item.owner.1)).unwrap();
    let plain = metadata.is_dir() || metadata.is_file();
    for (name, value) in &item.xattrs {
        // Only files and directories have user attributes (xattr(7)).
        if plain || !name.starts_with("user.") {
            xattr::set(path, OsString::from(name), value).unwrap();
        }
    }
    if !metadata.is_symlink() {
        std::fs::set_permissions(path, Permissions::from_mode(item.mode)).unwrap();
    }
    let time = |(seconds, nanoseconds): (i64, u32)| TimeSpec::new(seconds, nanoseconds.into());
    let [atime, mtime] = item.times.map(time);
    utimensat(
        AT_FDCWD,
        path,
        &atime,
        &mtime,
        UtimensatFlags::NoFollowSymlink,
    )
    .unwrap();
}

/// A bound socket, which goes with its listener.
pub(super) fn socket(path: &Path) -> UnixListener {
    UnixListener::bind(path).unwrap()
}

/// A tree with one of everything.
pub(super) fn sample(root: &Path) {
    let file = File::create(root.join("data")).unwrap();
    file.write_all_at(&[1; 10_000], 0).unwrap();
    file.set_len(1 << 20).unwrap();
    std::fs::hard_link(root.join("data"), root.join("also")).unwrap();
    std::fs::create_dir(root.join("dir")).unwrap();
    let name = OsString::from_vec(b"\xff\n (deleted)".to_vec());
    std::fs::write(root.join("dir").join(&name), b"odd").unwrap();
    std::fs::hard_link(root.join("dir").join(name), root.join("dir/link_remap.1")).unwrap();
    symlink("/etc/passwd", root.join("dir/symlink")).unwrap();
    std::fs::set_permissions(root, Permissions::from_mode(0o1777)).unwrap();
}

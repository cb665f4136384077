//! Capturing some inodes of a tree that others use.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn the_wanted_inodes_come_with_all_their_names_and_nothing_else() {
    let ground = Ground::new();
    let path = |name: &str| ground.source().join(name);
    fs::create_dir_all(path("a/b")).unwrap();
    fs::create_dir(path("theirs")).unwrap();
    fs::write(path("one"), b"wanted").unwrap();
    fs::hard_link(path("one"), path("a/b/other-name")).unwrap();
    fs::write(path("a/theirs"), b"x").unwrap();
    fs::write(path("theirs/too"), b"x").unwrap();
    let wanted = HashSet::from([fs::metadata(path("one")).unwrap().ino()]);
    let out = File::create(ground.archive()).unwrap();
    let root = File::open(ground.source()).unwrap();
    let captured = capture_inodes(root.as_fd(), &wanted, out).unwrap();
    let names: Vec<_> = captured.entries.iter().map(|entry| &entry.path).collect();
    assert_eq!(
        names,
        ["", "a", "a/b", "a/b/other-name", "one"].map(Path::new)
    );
    assert_eq!((captured.totals.inodes, captured.totals.entries), (4, 5));

    fs::write(ground.target().join("neighbour"), b"theirs").unwrap();
    ground.add().unwrap().commit().unwrap();
    let ino = |name: &str| fs::metadata(ground.target().join(name)).unwrap().ino();
    assert_eq!(ino("one"), ino("a/b/other-name"));
    assert_eq!(
        fs::read(ground.target().join("neighbour")).unwrap(),
        b"theirs"
    );
    ground.assert_clean();
}

#[test]
fn of_no_inode_there_is_just_the_root() {
    let ground = Ground::new();
    fs::write(ground.source().join("theirs"), b"x").unwrap();
    let out = File::create(ground.archive()).unwrap();
    let root = File::open(ground.source()).unwrap();
    let captured = capture_inodes(root.as_fd(), &HashSet::new(), out).unwrap();
    assert_eq!(captured.entries.len(), 1);
    ground.add().unwrap().commit().unwrap();
    assert_eq!(fs::read_dir(ground.target()).unwrap().count(), 0);
}

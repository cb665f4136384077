//! What is captured comes back the same elsewhere.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use proptest::prelude::*;

use super::super::{CaptureError, Kind, SkipReason, read_index};
use super::snapshot::{assert_same, snapshot};
use super::trees::{make, sample, socket, tree};
use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_trees_come_back(items in tree()) {
        let ground = Ground::new();
        make(ground.source(), &items, false);
        let before = snapshot(ground.source());
        let captured = ground.capture();
        assert_same(&before, &snapshot(ground.source()));
        prop_assert!(captured.skipped.is_empty());
        prop_assert_eq!(captured.archive_bytes, fs::metadata(ground.archive()).unwrap().len());

        let names: Vec<_> = captured.entries.iter().map(|entry| entry.path.clone()).collect();
        let index = read_index(&ground.archive()).unwrap();
        prop_assert_eq!(index.totals, captured.totals);
        prop_assert_eq!(
            &names,
            &index.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>()
        );
        prop_assert_eq!(names.len(), before.len());

        ground.replace().unwrap().commit().unwrap();
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
    }

    #[test]
    fn rolling_back_leaves_the_old_tree(new in tree(), old in tree()) {
        let ground = Ground::new();
        make(ground.source(), &new, false);
        make(ground.target(), &old, true);
        let before = snapshot(ground.target());
        ground.capture();
        let populated = ground.replace().unwrap();
        assert_same(&snapshot(ground.source()), &snapshot(ground.target()));
        populated.rollback().unwrap();
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
    }
}

#[test]
fn a_large_sparse_file_costs_nothing() {
    let ground = Ground::new();
    let file = File::create(ground.source().join("sparse")).unwrap();
    file.set_len(512 << 20).unwrap();
    file.write_all_at(b"end", (512 << 20) - 3).unwrap();
    File::create(ground.source().join("hole"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let captured = ground.capture();
    assert!(
        captured.archive_bytes < 20_000,
        "{}",
        captured.archive_bytes
    );
    ground.replace().unwrap().commit().unwrap();
    let copy = fs::metadata(ground.target().join("sparse")).unwrap();
    assert_eq!((copy.size(), copy.blocks()), (512 << 20, 8));
    let copy = fs::metadata(ground.target().join("hole")).unwrap();
    assert_eq!((copy.size(), copy.blocks()), (1 << 40, 0));
}

#[test]
fn the_list_tells_inodes_names_and_what_is_left_out() {
    let ground = Ground::new();
    sample(ground.source());
    let _listener = socket(&ground.source().join("socket"));
    let captured = ground.capture();
    let entry = |name: &str| {
        captured
            .entries
            .iter()
            .find(|entry| entry.path == Path::new(name))
            .unwrap()
    };
    let metadata = fs::metadata(ground.source().join("data")).unwrap();
    assert_eq!(entry("data").ino, metadata.ino());
    assert_eq!(entry("also").ino, metadata.ino());
    assert_eq!(entry("also").dev, metadata.dev());
    assert_eq!(entry("also").nlink, 2);
    assert_eq!(entry("also").kind, Kind::Regular);
    assert_eq!(entry("").mode, 0o1777);
    assert_eq!(captured.skipped.len(), 1);
    assert_eq!(captured.skipped[0].path, Path::new("socket"));
    assert_eq!(captured.skipped[0].reason, SkipReason::Socket);
    let index = read_index(&ground.archive()).unwrap();
    let links: Vec<_> = index
        .entries
        .iter()
        .filter(|entry| entry.same_as.is_some())
        .collect();
    assert_eq!(links.len(), 2);
    assert_eq!(index.totals.entries - index.totals.inodes, 2);
    // One page holds what is left of 10 000 bytes after two.
    assert_eq!(index.totals.data_bytes, 3 * 4096 + 3);
}

#[test]
fn acls_come_back_and_are_not_inherited() {
    // A default ACL as setfacl -d -m u:1000:rwx makes it (linux/posix_acl_xattr.h).
    let acl = |entries: &[(u16, u16, u32)]| {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    };
    let none = u32::MAX;
    let acl = acl(&[
        (1, 7, none),
        (2, 7, 1000),
        (4, 5, none),
        (16, 7, none),
        (32, 0, none),
    ]);
    let ground = Ground::new();
    let dir = ground.source().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("before"), b"").unwrap();
    xattr::set(&dir, "system.posix_acl_default", &acl).unwrap();
    fs::write(dir.join("after"), b"").unwrap();
    xattr::set(ground.target(), "system.posix_acl_default", &acl).unwrap();
    let before = snapshot(ground.source());
    ground.capture();
    ground.replace().unwrap().commit().unwrap();
    assert_same(&before, &snapshot(ground.target()));
}

#[test]
fn other_tar_programs_read_the_archive() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    let out = tempfile::tempdir_in("/dev/shm").unwrap();
    let status = std::process::Command::new("tar")
        .args(["--warning=no-unknown-keyword", "--xattrs", "-xpf"])
        .arg(ground.archive())
        .arg("-C")
        .arg(out.path())
        .status()
        .unwrap();
    assert!(status.success());
    let (mut ours, mut theirs) = (snapshot(ground.source()), snapshot(out.path()));
    for seen in ours.values_mut().chain(theirs.values_mut()) {
        // GNU tar does not set access times, nor keep every hole.
        seen.atime = (0, 0);
        seen.blocks = 0;
    }
    assert_same(&ours, &theirs);
}

#[test]
fn deep_trees_come_back_up_to_what_the_kernel_takes() {
    let ground = Ground::new();
    let part = |byte: &str| [byte.repeat(240).as_str(); 12].join("/");
    let (a, b) = (part("a"), part("b"));
    fs::create_dir_all(ground.source().join(&a)).unwrap();
    fs::write(ground.source().join(&a).join("file"), b"deep").unwrap();
    let before = snapshot(ground.source());
    ground.capture();
    ground.replace().unwrap().commit().unwrap();
    assert_same(&before, &snapshot(ground.target()));

    // Longer than any path that can be opened at once (PATH_MAX).
    fs::create_dir_all(ground.source().join(&b)).unwrap();
    let first = "b".repeat(240);
    fs::rename(
        ground.source().join(&first),
        ground.source().join(&a).join(&first),
    )
    .unwrap();
    let out = File::create(ground.archive()).unwrap();
    let error = capture(File::open(ground.source()).unwrap().as_fd(), out).unwrap_err();
    assert!(matches!(error, CaptureError::Read { .. }), "{error}");
}

#[test]
fn labels_are_the_targets_to_give_and_survive_a_roll_back() {
    let ground = Ground::new();
    let (new, old) = (ground.source().join("new"), ground.target().join("old"));
    fs::write(&new, b"").unwrap();
    fs::write(&old, b"").unwrap();
    for path in [&new, &old] {
        xattr::set(path, "security.SMACK64", b"label").unwrap();
    }
    let before = snapshot(ground.target());
    ground.capture();
    let populated = ground.replace().unwrap();
    assert_eq!(xattr::list(ground.target().join("new")).unwrap().count(), 0);
    populated.rollback().unwrap();
    assert_same(&before, &snapshot(ground.target()));
}

//! Cases that need a mount of their own: each runs again in a private mount namespace.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::super::{Recovery, SkipReason, capture, recover};
use super::snapshot::{assert_same, snapshot};
use super::trees::sample;
use super::*;

const INSIDE: &str = "CARRY_TEST_IN_NAMESPACE";

/// Runs the named test of this module in a mount namespace that shares nothing.
fn in_own_namespace(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        test();
        return;
    }
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("carry::tests::mounts::{name}"))
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn mount_at(path: &Path, kind: &str, options: &str) {
    mount(
        Some(kind),
        path,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )
    .unwrap();
}

fn unmount(path: &Path) {
    umount2(path, MntFlags::MNT_DETACH).unwrap();
}

fn remount(path: &Path, flags: MsFlags, options: &str) {
    mount(
        None::<&str>,
        path,
        None::<&str>,
        MsFlags::MS_REMOUNT | flags,
        Some(options),
    )
    .unwrap();
}

fn data(path: &Path, kib: usize) -> File {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(&vec![9; kib << 10]).unwrap();
    file
}

#[test]
fn a_lack_of_room_is_told_before_anything_is_touched() {
    in_own_namespace("a_lack_of_room_is_told_before_anything_is_touched", || {
        let ground = Ground::new();
        data(&ground.source().join("a"), 900);
        data(&ground.source().join("b"), 200);
        ground.capture();
        mount_at(ground.target(), "tmpfs", "size=1m");
        data(&ground.target().join("old"), 800);
        let before = snapshot(ground.target());
        let error = ground.replace().unwrap_err();
        let PopulateError::Room {
            needed, available, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((needed, available), (1100 << 10, 1024 << 10));
        assert!(error.to_string().contains("size=1126400"), "{error}");
        assert_same(&before, &snapshot(ground.target()));

        remount(ground.target(), MsFlags::empty(), "size=1100k");
        // Enough for the new contents alone, not beside the old ones.
        assert!(matches!(ground.add(), Err(PopulateError::Room { .. })));
        ground.replace().unwrap().rollback().unwrap();
        assert_same(&before, &snapshot(ground.target()));
        ground.replace().unwrap().commit().unwrap();
        assert_same(&snapshot(ground.source()), &snapshot(ground.target()));
        unmount(ground.target());
    });
}

#[test]
fn a_lack_of_inodes_is_told_before_anything_is_touched() {
    in_own_namespace(
        "a_lack_of_inodes_is_told_before_anything_is_touched",
        || {
            let ground = Ground::new();
            sample(ground.source());
            for number in 0..20 {
                fs::write(ground.source().join(format!("{number}")), b"").unwrap();
            }
            ground.capture();
            mount_at(ground.target(), "tmpfs", "nr_inodes=10");
            let error = ground.replace().unwrap_err();
            assert!(
                matches!(error, PopulateError::Room { what: "inodes", .. }),
                "{error}"
            );
            assert!(error.to_string().contains("nr_inodes="), "{error}");
            remount(ground.target(), MsFlags::empty(), "nr_inodes=1000");
            ground.replace().unwrap().commit().unwrap();
            unmount(ground.target());
        },
    );
}

#[test]
fn a_lack_of_room_for_the_stash_is_told() {
    in_own_namespace("a_lack_of_room_for_the_stash_is_told", || {
        let ground = Ground::new();
        sample(ground.source());
        mount_at(ground.work.path(), "tmpfs", "size=512k");
        ground.capture();
        data(&ground.target().join("old"), 800);
        let before = snapshot(ground.target());
        let error = ground.replace().unwrap_err();
        assert!(
            matches!(&error, PopulateError::Room { place, .. } if place == ground.work.path()),
            "{error}"
        );
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
        unmount(ground.work.path());
    });
}

/// A deleted file that is still open keeps its room: the check cannot know.
#[test]
fn room_that_runs_out_in_the_middle_is_rolled_back() {
    in_own_namespace("room_that_runs_out_in_the_middle_is_rolled_back", || {
        let ground = Ground::new();
        for number in 0..9 {
            data(&ground.source().join(format!("{number}")), 100);
        }
        ground.capture();
        mount_at(ground.target(), "tmpfs", "size=1m");
        let open = data(&ground.target().join("old"), 300);
        let before = snapshot(ground.target());
        let error = ground.replace().unwrap_err();
        let PopulateError::Io { source, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
        drop(open);
        unmount(ground.target());
    });
}

#[test]
fn a_roll_back_that_fails_keeps_the_stash() {
    in_own_namespace("a_roll_back_that_fails_keeps_the_stash", || {
        let ground = Ground::new();
        for number in 0..7 {
            data(&ground.source().join(format!("{number}")), 100);
        }
        ground.capture();
        mount_at(ground.target(), "tmpfs", "size=1m");
        let open = data(&ground.target().join("old"), 600);
        let before = snapshot(ground.target());
        let error = ground.replace().unwrap_err();
        let PopulateError::NotRolledBack {
            stash: Some(stash), ..
        } = &error
        else {
            panic!("{error}");
        };
        assert!(
            error.to_string().contains(&stash.display().to_string()),
            "{error}"
        );
        assert!(stash.exists());
        assert!(recover(&ground.journal()).is_err());
        // The remedy: what holds the room goes away.
        drop(open);
        assert_eq!(recover(&ground.journal()).unwrap(), Recovery::Recovered);
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
        unmount(ground.target());
    });
}

/// ramfs has no extended attributes: putting one in fails after other members.
#[test]
fn a_member_that_cannot_be_put_in_is_rolled_back() {
    in_own_namespace("a_member_that_cannot_be_put_in_is_rolled_back", || {
        let ground = Ground::new();
        sample(ground.source());
        xattr::set(ground.source().join("dir/link_remap.1"), "user.x", b"y").unwrap();
        ground.capture();
        mount_at(ground.target(), "ramfs", "");
        let file = ground.target().join("old");
        data(&file, 5);
        fs::hard_link(&file, ground.target().join("older")).unwrap();
        let before = snapshot(ground.target());
        let error = ground.replace().unwrap_err();
        let PopulateError::Io { source, .. } = &error else {
            panic!("{error}");
        };
        assert!(source.to_string().contains("user.x"), "{source}");
        assert_same(&before, &snapshot(ground.target()));
        ground.assert_clean();
        ground.add().unwrap_err();
        assert_eq!(
            snapshot(ground.target()).keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>()
        );
        ground.assert_clean();
        unmount(ground.target());
    });
}

#[test]
fn mounts_below_are_not_entered() {
    in_own_namespace("mounts_below_are_not_entered", || {
        let ground = Ground::new();
        let (dir, file) = (ground.source().join("dir"), ground.source().join("file"));
        fs::create_dir(&dir).unwrap();
        fs::write(&file, b"mine").unwrap();
        mount_at(&dir, "tmpfs", "");
        fs::write(dir.join("inner"), b"inner").unwrap();
        // The same file system again, and a file on a file.
        let bind = ground.source().join("bind");
        fs::create_dir(&bind).unwrap();
        for (from, to) in [
            (ground.target(), bind.as_path()),
            (Path::new("/etc/hostname"), &file),
        ] {
            mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        }
        fs::write(ground.target().join("other"), b"").unwrap();
        let out = File::create(ground.archive()).unwrap();
        let captured = capture(File::open(ground.source()).unwrap().as_fd(), out).unwrap();
        let skipped: Vec<_> = captured
            .skipped
            .iter()
            .map(|one| (&*one.path, one.reason))
            .collect();
        let nested = ["bind", "dir", "file"].map(|name| (Path::new(name), SkipReason::NestedMount));
        assert_eq!(skipped, nested);
        assert_eq!(captured.entries.len(), 1);

        mount_at(ground.target(), "tmpfs", "");
        let below = ground.target().join("below");
        fs::create_dir(&below).unwrap();
        mount_at(&below, "tmpfs", "");
        fs::write(below.join("precious"), b"").unwrap();
        let before = snapshot(ground.target());
        let populated = ground.replace().unwrap();
        assert!(!ground.target().join("other").exists());
        assert!(below.join("precious").exists());
        populated.rollback().unwrap();
        assert_same(&before, &snapshot(ground.target()));
        // With a directory there, too, and with something else.
        let error = |make: &dyn Fn(&Path)| {
            let source = ground.work.path().join("other source");
            fs::create_dir(&source).unwrap();
            make(&source.join("below"));
            let out = File::create(ground.archive()).unwrap();
            capture(File::open(&source).unwrap().as_fd(), out).unwrap();
            fs::remove_dir_all(&source).unwrap();
            let replaced = ground.replace();
            assert!(below.join("precious").exists());
            replaced.and_then(|populated| populated.commit()).err()
        };
        assert!(error(&|path| fs::create_dir(path).unwrap()).is_none());
        assert!(!ground.target().join("other").exists());
        for refused in [
            error(&|path| fs::write(path, b"").unwrap()),
            error(&|path| fs::create_dir_all(path.join("deeper")).unwrap()),
        ] {
            assert!(matches!(refused, Some(PopulateError::Mount(_))));
        }
        for path in [&below, ground.target(), &file, &bind, &dir] {
            unmount(path);
        }
    });
}

#[test]
fn a_read_only_target_is_refused() {
    in_own_namespace("a_read_only_target_is_refused", || {
        let ground = Ground::new();
        sample(ground.source());
        ground.capture();
        mount_at(ground.target(), "tmpfs", "");
        fs::write(ground.target().join("old"), b"").unwrap();
        remount(ground.target(), MsFlags::MS_RDONLY, "");
        for result in [ground.replace(), ground.add()] {
            assert!(matches!(result, Err(PopulateError::ReadOnly(_))));
        }
        ground.assert_clean();
        unmount(ground.target());
    });
}

/// A tmpfs without limits shows no blocks and no inodes.
#[test]
fn an_unlimited_tmpfs_has_room() {
    in_own_namespace("an_unlimited_tmpfs_has_room", || {
        let ground = Ground::new();
        sample(ground.source());
        ground.capture();
        mount_at(ground.target(), "tmpfs", "size=0,nr_inodes=0");
        ground.replace().unwrap().commit().unwrap();
        assert_same(&snapshot(ground.source()), &snapshot(ground.target()));
        unmount(ground.target());
    });
}

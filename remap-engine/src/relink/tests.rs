use std::os::unix::fs::MetadataExt;

use super::*;
use crate::bundle::BundleMount;
use crate::carry::DirectoryFacts;
use crate::ghosts::{GhostAttributes, GhostDirectory, GhostName, GhostTime};

struct Ground {
    target: tempfile::TempDir,
    root: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self {
            target: tempfile::tempdir_in("/dev/shm").unwrap(),
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target.path().join(name)
    }

    fn note(&self) -> PathBuf {
        self.root.path().join("relink.json")
    }

    fn prepare(&self, ghosts: &[GhostFile]) -> Result<Relink, RelinkError> {
        let bundle = Bundle {
            path: "/b".into(),
            mounts: vec![BundleMount {
                destination: "/dev/shm".into(),
                bind_source: Some(self.target.path().into()),
            }],
            annotations: Default::default(),
        };
        let mut relink = Relink::prepare(&bundle, ghosts, &self.note())?;
        relink.begin()?;
        Ok(relink)
    }

    /// What CRIU does before the script is called.
    fn make_ghost(&self, name: &str) -> u64 {
        std::fs::write(self.path(name), b"contents").unwrap();
        std::fs::metadata(self.path(name)).unwrap().ino()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.target.path()).unwrap();
        let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

fn ghost(id: u32, beside: &str, names: &[&str]) -> GhostFile {
    GhostFile {
        destination: "/dev/shm".into(),
        id,
        beside: beside.into(),
        names: names.iter().map(|name| GhostName(name.into())).collect(),
        directories: vec![],
        attributes: GhostAttributes {
            modified: GhostTime {
                seconds: 7,
                nanoseconds: 123_456_789,
            },
            ..GhostAttributes::default()
        },
        size_bytes: 8,
        data_bytes: 8,
    }
}

#[test]
fn every_name_of_a_ghost_is_made_and_stays() {
    let ground = Ground::new();
    let ghosts = [ghost(26, "a", &["a", "b"]), ghost(27, "z", &[])];
    let mut relink = ground.prepare(&ghosts).unwrap();
    assert!(relink.is_needed());
    let inode = ground.make_ghost("a.cr.1a.ghost");
    ground.make_ghost("z.cr.1b.ghost");
    relink.link().unwrap();
    // The script may be called twice.
    relink.link().unwrap();
    for name in ["a", "b"] {
        let metadata = std::fs::metadata(ground.path(name)).unwrap();
        assert_eq!((metadata.ino(), metadata.nlink()), (inode, 3));
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        assert_eq!(modified, (7, 123_456_789));
    }
    relink.commit().unwrap();
    assert!(!ground.note().exists());
}

#[test]
fn a_failed_restore_takes_its_names_back_and_no_others() {
    let ground = Ground::new();
    std::fs::write(ground.path("theirs"), b"").unwrap();
    for is_linked in [false, true] {
        for is_killed in [false, true] {
            let ghosts = [ghost(1, "a", &["a", "b"]), ghost(2, "c", &[])];
            let mut relink = ground.prepare(&ghosts).unwrap();
            ground.make_ghost("a.cr.1.ghost");
            ground.make_ghost("c.cr.2.ghost");
            // By which CRIU opens it.
            std::fs::hard_link(ground.path("c.cr.2.ghost"), ground.path("c.cr_link")).unwrap();
            if is_linked {
                relink.link().unwrap();
                // CRIU removes its own name before the end.
                std::fs::remove_file(ground.path("a.cr.1.ghost")).unwrap();
            }
            if is_killed {
                drop(relink);
                Relink::recover(&ground.note()).unwrap();
                Relink::recover(&ground.note()).unwrap();
            } else {
                relink.rollback().unwrap();
            }
            assert_eq!(ground.names(), ["theirs"], "{is_linked} {is_killed}");
            assert!(!ground.note().exists());
        }
    }
}

#[test]
fn a_ghost_whose_directory_is_gone_is_found_above_it() {
    let ground = Ground::new();
    let ghosts = [ghost(1, "gone/deep/a", &["b"])];
    let mut relink = ground.prepare(&ghosts).unwrap();
    let inode = ground.make_ghost("a.cr.1.ghost");
    relink.link().unwrap();
    assert_eq!(std::fs::metadata(ground.path("b")).unwrap().ino(), inode);
    relink.rollback().unwrap();
    assert_eq!(ground.names(), Vec::<String>::new());
}

#[test]
fn missing_directories_are_made_as_they_were_and_taken_back_unless_others_use_them() {
    let ground = Ground::new();
    let directory = |path: &str, mode| GhostDirectory {
        path: path.into(),
        facts: DirectoryFacts {
            mode,
            uid: 7,
            gid: 8,
        },
    };
    std::fs::create_dir(ground.path("there")).unwrap();
    let before = std::fs::metadata(ground.path("there")).unwrap();
    let mut ghost = ghost(1, "a", &["there/d/e/a"]);
    ghost.directories = vec![
        directory("there", 0o700),
        directory("there/d", 0o1711),
        directory("there/d/e", 0o2750),
    ];
    for theirs in [None, Some("there/d/theirs")] {
        let mut relink = ground.prepare(std::slice::from_ref(&ghost)).unwrap();
        ground.make_ghost("a.cr.1.ghost");
        relink.link().unwrap();
        for (name, mode) in [("there/d", 0o1711), ("there/d/e", 0o2750)] {
            let made = std::fs::metadata(ground.path(name)).unwrap();
            assert_eq!((made.mode() & 0o7777, made.uid(), made.gid()), (mode, 7, 8));
        }
        let now = std::fs::metadata(ground.path("there")).unwrap();
        assert_eq!((now.mode(), now.uid()), (before.mode(), before.uid()));
        if let Some(theirs) = theirs {
            ground.make_ghost(theirs);
        }
        relink.rollback().unwrap();
        assert!(!ground.path("there/d/e").exists());
        assert_eq!(ground.path("there/d").exists(), theirs.is_some());
        assert_eq!(ground.names(), ["there"]);
    }
}

#[test]
fn names_that_are_taken_are_all_named_before_anything_is_touched() {
    let ground = Ground::new();
    for name in ["a", "c", "x.cr.3.ghost"] {
        std::fs::write(ground.path(name), b"theirs").unwrap();
    }
    let ghosts = [
        ghost(1, "a", &["a", "b"]),
        ghost(2, "c", &["c"]),
        ghost(3, "x", &[]),
    ];
    let error = ground.prepare(&ghosts).unwrap_err();
    let RelinkError::Taken(taken) = &error else {
        panic!("{error}");
    };
    let expected = ["a", "c", "x.cr.3.ghost"].map(|name| ground.path(name));
    assert_eq!(taken, &expected);
    assert_eq!(ground.names(), ["a", "c", "x.cr.3.ghost"]);
    assert!(!ground.note().exists());
}

#[test]
fn a_name_that_is_taken_meanwhile_is_not_touched() {
    let ground = Ground::new();
    let mut relink = ground.prepare(&[ghost(1, "a", &["a", "b"])]).unwrap();
    ground.make_ghost("a.cr.1.ghost");
    let theirs = ground.make_ghost("b");
    let error = relink.link().unwrap_err();
    assert!(matches!(&error, RelinkError::Taken(taken) if taken == &[ground.path("b")]));
    relink.rollback().unwrap();
    assert_eq!(ground.names(), ["b"]);
    assert_eq!(std::fs::metadata(ground.path("b")).unwrap().ino(), theirs);
}

#[test]
fn what_is_missing_or_leads_elsewhere_is_refused() {
    let ground = Ground::new();
    let refused = |ghost: GhostFile| ground.prepare(&[ghost]).unwrap_err();
    let malformed = |error| matches!(error, RelinkError::Malformed(_));
    assert!(malformed(refused(ghost(1, "a", &["../a"]))));
    assert!(malformed(refused(ghost(1, "/etc/a", &["a"]))));
    assert!(malformed(refused(ghost(1, "", &[]))));
    std::os::unix::fs::symlink("/tmp", ground.path("link")).unwrap();
    let error = refused(ghost(1, "a", &["link/a"]));
    assert!(matches!(error, RelinkError::Io { .. }), "{error}");
    let mut elsewhere = ghost(1, "a", &["a"]);
    elsewhere.destination = "/data".into();
    assert!(matches!(refused(elsewhere), RelinkError::NoBind(_)));
    let mut relink = ground.prepare(&[ghost(1, "a", &["a"])]).unwrap();
    let error = relink.link().unwrap_err();
    assert!(
        matches!(error, RelinkError::NoGhost { id: 1, .. }),
        "{error}"
    );
}

//! Containers that share inodes, put in one after the other.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::carry::Together;

/// `one` holds `own` and the shared inode, `other` only the latter, of which it has one more name.
struct Pod {
    ground: Ground,
    shared: HashSet<u64>,
}

impl Pod {
    fn new() -> Self {
        let ground = Ground::new();
        let path = |name: &str| ground.source().join(name);
        fs::write(path("own"), b"own").unwrap();
        fs::write(path("sem"), b"shared").unwrap();
        let inode = |name: &str| fs::metadata(path(name)).unwrap().ino();
        let save = |archive: &str, inodes: &[u64]| {
            let out = File::create(ground.work.path().join(archive)).unwrap();
            let inodes = inodes.iter().copied().collect();
            let dir = File::open(ground.source()).unwrap();
            capture_inodes(dir.as_fd(), &inodes, out).unwrap();
        };
        save("one", &[inode("own"), inode("sem")]);
        fs::hard_link(path("sem"), path("link_remap.4")).unwrap();
        save("other", &[inode("sem")]);
        let shared = [inode("sem")].into();
        Self { ground, shared }
    }

    fn together(&self, member: &str) -> Together {
        Together {
            moment: "m1".into(),
            member: member.into(),
            members: ["one", "other"].map(str::to_owned).into(),
            after: Default::default(),
            shared: self.shared.clone(),
        }
    }

    fn put(&self, together: Together) -> Result<Populated, PopulateError> {
        let archive = self.ground.work.path().join(&together.member);
        populate(&Request {
            archive: &archive,
            target: self.ground.target(),
            journal: &self.ground.work.path().join("journal.json"),
            mode: Mode::Add(Beside {
                held_here: None,
                together: Some(together),
            }),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ground.target().join(name)
    }

    fn inode(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().ino()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.ground.target()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

#[test]
fn the_second_gets_the_inode_of_the_first_as_it_has_become() {
    for [first, second] in [["one", "other"], ["other", "one"]] {
        let pod = Pod::new();
        pod.put(pod.together(first)).unwrap().commit().unwrap();
        let inode = pod.inode("sem");
        fs::write(pod.path("sem"), b"SHARED").unwrap();
        pod.put(pod.together(second)).unwrap().commit().unwrap();
        assert_eq!(fs::read(pod.path("link_remap.4")).unwrap(), b"SHARED");
        assert_eq!(
            (pod.inode("sem"), pod.inode("link_remap.4")),
            (inode, inode)
        );
        assert_eq!(fs::metadata(pod.path("sem")).unwrap().nlink(), 2);
        assert_eq!(pod.names(), ["link_remap.4", "own", "sem"]);
    }
}

#[test]
fn a_name_that_the_first_has_removed_leads_the_second_to_the_same_inode() {
    let pod = Pod::new();
    pod.put(pod.together("one")).unwrap().commit().unwrap();
    let inode = pod.inode("sem");
    fs::remove_file(pod.path("sem")).unwrap();
    pod.put(pod.together("other")).unwrap().commit().unwrap();
    assert_eq!(pod.inode("sem"), inode);
}

#[test]
fn a_roll_back_takes_away_only_its_own() {
    let pod = Pod::new();
    pod.put(pod.together("one")).unwrap().rollback().unwrap();
    assert!(pod.names().is_empty(), "{:?}", pod.names());
    pod.put(pod.together("one")).unwrap().commit().unwrap();
    let before = pod.names();
    let kept = pod.path(before.first().unwrap());
    let kept = || fs::read_dir(&kept).unwrap().count();
    assert_eq!(kept(), 2);
    pod.put(pod.together("other")).unwrap().rollback().unwrap();
    assert_eq!((pod.names(), kept()), (before, 2));
    pod.put(pod.together("other")).unwrap().commit().unwrap();
    assert_eq!(pod.names(), ["link_remap.4", "own", "sem"]);
}

#[test]
fn another_moment_the_same_container_again_and_a_wrong_order_are_refused() {
    let pod = Pod::new();
    let mut late = pod.together("other");
    late.after.insert("one".into());
    let error = pod.put(late.clone()).unwrap_err();
    assert!(matches!(error, PopulateError::TooEarly { .. }), "{error}");
    assert!(pod.names().is_empty());

    pod.put(pod.together("one")).unwrap().commit().unwrap();
    let before = pod.names();
    let mut older = pod.together("other");
    older.moment = "m0".into();
    let error = pod.put(older).unwrap_err();
    assert!(matches!(error, PopulateError::OtherMoment(_)), "{error}");
    let error = pod.put(pod.together("one")).unwrap_err();
    assert!(matches!(error, PopulateError::Again { .. }), "{error}");
    assert_eq!(pod.names(), before);
    pod.put(late).unwrap().commit().unwrap();
}

#[test]
fn a_file_that_has_grown_or_was_replaced_is_refused() {
    let pod = Pod::new();
    pod.put(pod.together("one")).unwrap().commit().unwrap();
    fs::write(pod.path("sem"), b"longer than before").unwrap();
    let error = pod.put(pod.together("other")).unwrap_err();
    assert!(matches!(error, PopulateError::GoneOn { .. }), "{error}");

    let pod = Pod::new();
    pod.put(pod.together("one")).unwrap().commit().unwrap();
    fs::remove_file(pod.path("sem")).unwrap();
    fs::write(pod.path("sem"), b"theirs").unwrap();
    let error = pod.put(pod.together("other")).unwrap_err();
    assert!(matches!(error, PopulateError::Conflict { .. }), "{error}");
}

#[test]
fn what_is_kept_is_not_captured() {
    let pod = Pod::new();
    pod.put(pod.together("one")).unwrap().commit().unwrap();
    let captured = capture_to(pod.ground.target(), &pod.ground.archive());
    let names: Vec<_> = captured.entries.iter().map(|entry| &entry.path).collect();
    assert_eq!(
        names,
        ["", "own", "sem"]
            .map(PathBuf::from)
            .iter()
            .collect::<Vec<_>>()
    );
}

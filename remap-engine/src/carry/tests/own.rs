//! Adding where the container itself has left what was saved.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::snapshot::{assert_same, snapshot};
use super::*;

/// A file with two names, a FIFO and the file of a neighbour, saved without the latter and changed
/// since.
fn ground() -> Ground {
    let ground = Ground::new();
    let path = |name: &str| ground.source().join(name);
    fs::create_dir(path("dir")).unwrap();
    fs::write(path("dir/a"), b"saved").unwrap();
    fs::hard_link(path("dir/a"), path("b")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::write(path("theirs"), b"theirs").unwrap();
    let own = ["dir/a", "fifo"].map(|name| fs::symlink_metadata(path(name)).unwrap().ino());
    let out = File::create(ground.archive()).unwrap();
    capture_inodes(
        File::open(ground.source()).unwrap().as_fd(),
        &own.into(),
        out,
    )
    .unwrap();
    fs::write(path("b"), b"changed since").unwrap();
    fs::write(path("theirs"), b"theirs, too").unwrap();
    ground
}

fn add_here(ground: &Ground, held: &[u64]) -> Result<Populated, PopulateError> {
    populate(&Request {
        archive: &ground.archive(),
        target: ground.source(),
        journal: &ground.journal(),
        mode: Mode::Add(Beside {
            held_here: Some(held.iter().copied().collect()),
            together: None,
        }),
    })
}

#[test]
fn what_was_saved_takes_the_place_of_what_became_of_it_and_gives_it_back() {
    let ground = ground();
    let before = snapshot(ground.source());
    let populated = add_here(&ground, &[]).unwrap();
    let read = |name: &str| fs::read(ground.source().join(name)).unwrap();
    assert_eq!(
        (read("dir/a"), read("b")),
        (b"saved".into(), b"saved".into())
    );
    populated.rollback().unwrap();
    let (mut after, mut before) = (snapshot(ground.source()), before);
    for seen in before.values_mut().chain(after.values_mut()) {
        if seen.mode & 0o170_000 == 0o040_000 {
            seen.mtime = (0, 0);
        }
    }
    assert_same(&before, &after);
    ground.assert_clean();

    add_here(&ground, &[]).unwrap().commit().unwrap();
    let names: Vec<_> = snapshot(ground.source()).into_keys().collect();
    let expected = ["", "b", "dir", "dir/a", "fifo", "theirs"];
    assert_eq!(names, expected.map(PathBuf::from));
    let inode = |name: &str| fs::metadata(ground.source().join(name)).unwrap().ino();
    assert_eq!(inode("dir/a"), inode("b"));
    assert_eq!(
        (read("b"), read("theirs")),
        (b"saved".into(), b"theirs, too".into())
    );
    ground.assert_clean();
}

#[test]
fn what_somebody_holds_or_has_linked_or_made_anew_stays() {
    let refused = |ground: &Ground, held: &[u64], named: &str| {
        let before = snapshot(ground.source());
        let error = add_here(ground, held).unwrap_err();
        let PopulateError::Conflict { names, .. } = &error else {
            panic!("{error}");
        };
        assert!(names.contains(named), "{names}");
        assert_same(&before, &snapshot(ground.source()));
        ground.assert_clean();
    };
    let held = ground();
    let inode = fs::metadata(held.source().join("b")).unwrap().ino();
    refused(&held, &[inode], "`b`");

    let linked = ground();
    fs::hard_link(linked.source().join("b"), linked.source().join("c")).unwrap();
    refused(&linked, &[], "`dir/a`");

    let anew = ground();
    fs::remove_file(anew.source().join("fifo")).unwrap();
    fs::write(anew.source().join("fifo"), b"").unwrap();
    refused(&anew, &[], "`fifo`");

    let elsewhere = ground();
    fs::write(elsewhere.target().join("b"), b"").unwrap();
    let request = Request {
        archive: &elsewhere.archive(),
        target: elsewhere.target(),
        journal: &elsewhere.journal(),
        mode: Mode::Add(Beside {
            held_here: Some(HashSet::new()),
            together: None,
        }),
    };
    assert!(matches!(
        populate(&request),
        Err(PopulateError::Conflict { total: 1, .. })
    ));
}

#[test]
fn a_process_that_was_killed_has_put_nothing_aside() {
    let ground = ground();
    let before: Vec<_> = snapshot(ground.source()).into_keys().collect();
    drop(add_here(&ground, &[]).unwrap());
    assert_eq!(
        super::super::recover(&ground.journal()).unwrap(),
        super::super::Recovery::Recovered
    );
    let after: Vec<_> = snapshot(ground.source()).into_keys().collect();
    assert_eq!(after, before);
    let changed = fs::read(ground.source().join("dir/a")).unwrap();
    assert_eq!(changed, b"changed since");
    ground.assert_clean();
}

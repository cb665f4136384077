//! Adding to a target that others use.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use proptest::prelude::*;

use super::snapshot::{assert_same, snapshot};
use super::trees::{make, sample, tree};
use super::*;

#[test]
fn directories_merge_and_nothing_else_changes() {
    let ground = Ground::new();
    sample(ground.source());
    fs::create_dir_all(ground.source().join("new/deeper")).unwrap();
    fs::write(ground.source().join("new/deeper/file"), b"x").unwrap();
    ground.capture();
    fs::create_dir(ground.target().join("dir")).unwrap();
    fs::write(ground.target().join("dir/theirs"), b"theirs").unwrap();
    fs::set_permissions(
        ground.target().join("dir"),
        fs::Permissions::from_mode(0o711),
    )
    .unwrap();
    let (source, before) = (snapshot(ground.source()), snapshot(ground.target()));

    let populated = ground.add().unwrap();
    let after = snapshot(ground.target());
    assert_eq!(after[Path::new("dir")].mode & 0o7777, 0o711);
    assert_eq!(after[Path::new("")].mode, before[Path::new("")].mode);
    for (path, seen) in &source {
        if path != Path::new("") && path != Path::new("dir") {
            assert_eq!(after[path], *seen, "{}", path.display());
        }
    }
    assert_eq!(after.len(), source.len() + 1);

    populated.rollback().unwrap();
    let after = snapshot(ground.target());
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    ground.assert_clean();

    ground.add().unwrap().commit().unwrap();
    assert_eq!(snapshot(ground.target()).len(), source.len() + 1);
    ground.assert_clean();
}

#[test]
fn every_conflict_is_found_before_anything_is_written() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    fs::create_dir(ground.target().join("data")).unwrap();
    fs::write(
        ground.target().join("dir"),
        b"a file where a directory should be",
    )
    .unwrap();
    let before = snapshot(ground.target());
    let error = ground.add().unwrap_err();
    let PopulateError::Conflict { total, names, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*total, 2, "{error}");
    assert!(names.contains("`data`, `dir`"), "{names}");
    assert_same(&before, &snapshot(ground.target()));
    ground.assert_clean();
}

#[test]
fn rolling_back_leaves_what_others_did() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    let populated = ground.add().unwrap();
    // Somebody replaces an added file, and puts one into an added directory.
    fs::remove_file(ground.target().join("data")).unwrap();
    fs::write(ground.target().join("data"), b"theirs").unwrap();
    fs::write(ground.target().join("dir/theirs"), b"theirs").unwrap();
    populated.rollback().unwrap();
    let names: Vec<_> = snapshot(ground.target()).into_keys().collect();
    assert_eq!(names, ["", "data", "dir", "dir/theirs"].map(PathBuf::from));
    assert_eq!(fs::read(ground.target().join("data")).unwrap(), b"theirs");
    ground.assert_clean();
}

#[test]
fn an_unfinished_populate_is_not_overwritten() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    let first = ground.replace().unwrap();
    let stash = fs::metadata(ground.stash()).unwrap();
    assert_eq!(stash.mode() & 0o777, 0o600);
    assert_eq!(
        fs::metadata(ground.journal()).unwrap().mode() & 0o777,
        0o600
    );
    let error = ground.replace().unwrap_err();
    assert!(matches!(error, PopulateError::Unfinished(_)), "{error}");
    let error = ground.add().unwrap_err();
    assert!(matches!(error, PopulateError::Conflict { .. }), "{error}");
    first.rollback().unwrap();
    assert_eq!(snapshot(ground.target()).len(), 1);
}

#[test]
fn links_to_the_outside_are_not_broken() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    fs::write(ground.target().join("file"), b"x").unwrap();
    fs::hard_link(ground.target().join("file"), ground.source().join("other")).unwrap();
    let error = ground.replace().unwrap_err();
    assert!(
        matches!(
            error,
            PopulateError::OutsideLinks {
                nlink: 2,
                inside: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        fs::metadata(ground.target().join("file")).unwrap().nlink(),
        2
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_does_not_conflict_is_added_and_taken_away(new in tree(), old in tree()) {
        let ground = Ground::new();
        make(ground.source(), &new, false);
        make(ground.target(), &old, true);
        ground.capture();
        let (source, mut before) = (snapshot(ground.source()), snapshot(ground.target()));
        if let Ok(populated) = ground.add() {
            let added = snapshot(ground.target());
            for (path, seen) in source.iter().filter(|(path, _)| !before.contains_key(*path)) {
                prop_assert_eq!(&added[path].contents, &seen.contents);
                prop_assert_eq!(&added[path].xattrs, &seen.xattrs);
                prop_assert_eq!(added[path].mode, seen.mode);
                prop_assert_eq!(added[path].mtime, seen.mtime);
                prop_assert_eq!(added[path].nlink, seen.nlink);
                prop_assert_eq!(&added[path].same_as, &seen.same_as);
            }
            populated.rollback().unwrap();
        }
        let mut after = snapshot(ground.target());
        // Names came and went in the directories of others.
        for seen in before.values_mut().chain(after.values_mut()) {
            if seen.mode & 0o170_000 == 0o040_000 {
                seen.mtime = (0, 0);
            }
        }
        assert_same(&before, &after);
        ground.assert_clean();
    }
}

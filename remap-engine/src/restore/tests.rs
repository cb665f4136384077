//! The transaction on a real tmpfs, with a restorer that succeeds or fails as told.

use super::*;
use crate::carry;
use crate::contents::archive_name;
use crate::manifest::CarriedMount;
use crate::manifest::{FILE_NAME, Manifest};
use crate::private;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Mutex;

struct FakeRestorer {
    fails: bool,
    seen: Mutex<Option<String>>,
    target: PathBuf,
}

impl Restorer for FakeRestorer {
    fn restore(&self, _options: Option<&DumpOptions>) -> Result<(), BoxError> {
        *self.seen.lock().unwrap() = std::fs::read_to_string(self.target.join("file")).ok();
        if self.fails {
            return Err("criu failed".into());
        }
        Ok(())
    }

    fn freeze(&self, _processes: &[i32]) -> Result<(), BoxError> {
        Err("nothing is to be frozen".into())
    }

    fn thaw(&self, _init: i32) -> Result<(), BoxError> {
        Err("nothing is frozen".into())
    }

    fn abort(&self) {}

    fn discard(&self) {}
}

/// A checkpoint that carries one file, and a bundle whose `/dev/shm` is a bind of a directory that
/// has another.
struct Ground {
    root: tempfile::TempDir,
    target: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self::with(false)
    }

    /// A checkpoint of a whole mount, or only of `partial` contents.
    fn with(partial: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir_in("/dev/shm").unwrap();
        let source = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::write(source.path().join("file"), "carried").unwrap();
        std::fs::write(target.path().join("file"), "old").unwrap();
        let images = root.path().join("images");
        std::fs::create_dir(&images).unwrap();
        let out = private::create_file(&images.join(archive_name(0))).unwrap();
        let dir = std::fs::File::open(source.path()).unwrap();
        let captured = carry::capture(dir.as_fd(), out).unwrap();
        let mount = CarriedMount {
            below: "".into(),
            origin: None,
            shared: Default::default(),
            partial,
            destination: "/dev/shm".into(),
            archive: archive_name(0),
            fs_options: vec![],
            bytes: captured.totals.data_bytes,
            entries: captured.totals.entries,
            sockets: vec![],
        };
        let options = DumpOptions::default();
        let manifest = Manifest::build(&images, BTreeMap::new(), options, vec![mount]).unwrap();
        manifest.write(&images).unwrap();
        let config = format!(
            r#"{{"mounts":[{{"destination":"/dev/shm","type":"bind","source":"{}"}}]}}"#,
            target.path().display()
        );
        let bundle = root.path().join("bundle");
        std::fs::create_dir(&bundle).unwrap();
        std::fs::write(bundle.join("config.json"), config).unwrap();
        crate::bundle::adopt(&bundle).unwrap();
        Self { root, target }
    }

    fn request(&self) -> RestoreRequest {
        RestoreRequest {
            cgroup_root: None,
            bundle: self.root.path().join("bundle"),
            image_dir: self.root.path().join("images"),
            work_dir: self.root.path().join("work"),
            external: vec![],
            script: "/bin/true".into(),
        }
    }

    fn restorer(&self, fails: bool) -> FakeRestorer {
        FakeRestorer {
            fails,
            seen: Mutex::default(),
            target: self.target.path().into(),
        }
    }

    fn contents(&self) -> String {
        std::fs::read_to_string(self.target.path().join("file")).unwrap()
    }

    fn assert_nothing_left(&self) {
        assert!(!WorkDir::of(&self.request().bundle).stash().exists());
        assert_eq!(std::fs::read_dir(self.target.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_mount_is_populated_before_the_tasks_come_back() {
    let ground = Ground::new();
    let restorer = ground.restorer(false);
    restore(&ground.request(), &restorer).unwrap();
    assert_eq!(
        restorer.seen.lock().unwrap().take().as_deref(),
        Some("carried")
    );
    assert_eq!(ground.contents(), "carried");
    ground.assert_nothing_left();
}

#[test]
fn after_a_failure_the_mount_is_as_before() {
    let ground = Ground::new();
    let restorer = ground.restorer(true);
    let error = restore(&ground.request(), &restorer).unwrap_err();
    assert_eq!(error.phase, Phase::Restore);
    assert_eq!(
        restorer.seen.lock().unwrap().take().as_deref(),
        Some("carried")
    );
    assert_eq!(ground.contents(), "old");
    ground.assert_nothing_left();
}

#[test]
fn to_a_mount_that_others_shared_is_only_added() {
    let ground = Ground::with(true);
    let restorer = ground.restorer(false);
    let error = restore(&ground.request(), &restorer).unwrap_err();
    assert_eq!(error.phase, Phase::Populate);
    let text = crate::phase::report(&error);
    assert!(
        text.contains("only adds") && text.contains("`file`"),
        "{text}"
    );
    assert_eq!(ground.contents(), "old");
    ground.assert_nothing_left();

    let target = |name: &str| ground.target.path().join(name);
    std::fs::rename(target("file"), target("theirs")).unwrap();
    restore(&ground.request(), &restorer).unwrap();
    assert_eq!(ground.contents(), "carried");
    assert_eq!(std::fs::read_to_string(target("theirs")).unwrap(), "old");
}

#[test]
fn a_damaged_or_incomplete_checkpoint_is_refused_before_anything_is_touched() {
    for (name, part) in [
        (archive_name(0), "damaged"),
        (FILE_NAME.to_owned(), "incomplete"),
    ] {
        let ground = Ground::new();
        let path = ground.request().image_dir.join(name);
        if part == "damaged" {
            std::fs::write(path, "x").unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
        let restorer = ground.restorer(false);
        let error = restore(&ground.request(), &restorer).unwrap_err();
        assert_eq!(error.phase, Phase::Verify);
        assert!(crate::phase::report(&error).contains(part), "{error:?}");
        assert_eq!(restorer.seen.lock().unwrap().take(), None);
        assert_eq!(ground.contents(), "old");
        ground.assert_nothing_left();
    }
}

#[test]
fn a_restore_whose_process_was_killed_is_taken_back() {
    let ground = Ground::new();
    let work = WorkDir::of(&ground.request().bundle);
    let bundle = Bundle::load(&ground.request().bundle).unwrap();
    let checked = Checked::open(&ground.request().image_dir).unwrap();
    let places = fit::fit(&bundle, checked.mounts()).unwrap();
    let alone = Companions::expect(&bundle, None, &places).unwrap();
    let ghosts = Relink::prepare(&bundle, &[], &work.relink_note()).unwrap();
    let mut changes = Changes::begin(work, ghosts);
    let request = ground.request();
    changes.populate(&request, &places, &alone).unwrap();
    std::mem::forget(changes);
    assert_eq!(ground.contents(), "carried");
    recover(&ground.request().bundle).unwrap();
    assert_eq!(ground.contents(), "old");
    recover(&ground.request().bundle).unwrap();
}

//! On a real directory, which stands for a volume.

use super::*;
use crate::bundle::{Bundle, BundleMount};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// A volume with a file `a/lives`, and a bundle that binds it on `/vol`.
struct Ground {
    volume: tempfile::TempDir,
    bundle: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self {
            volume: tempfile::tempdir().unwrap(),
            bundle: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(ground.path("a")).unwrap();
        std::fs::write(ground.path("a/lives"), b"text").unwrap();
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.volume.path().join(name)
    }

    fn journal(&self) -> PathBuf {
        self.bundle.path().join("links.json")
    }

    fn record(&self) -> LinkedFile {
        let found = std::fs::metadata(self.path("a/lives")).unwrap();
        LinkedFile {
            destination: "/vol".into(),
            survivor: "a/lives".into(),
            link: "link_remap.7".into(),
            size_bytes: found.len(),
            mode: found.mode(),
        }
    }

    fn fit(&self, file: &LinkedFile) -> Result<Links, LinkedError> {
        let bundle = Bundle {
            path: self.bundle.path().to_owned(),
            mounts: vec![BundleMount {
                destination: "/vol".into(),
                bind_source: Some(self.volume.path().to_owned()),
            }],
            annotations: Default::default(),
        };
        Links::fit(&bundle, std::slice::from_ref(file))
    }

    fn make(&self) -> Made {
        let relinks = self.fit(&self.record()).unwrap();
        relinks.make(&self.journal()).unwrap()
    }

    fn inode(&self, name: &str) -> Option<u64> {
        let found = std::fs::symlink_metadata(self.path(name)).ok();
        found.map(|found| found.ino())
    }

    /// Why the record cannot be fitted.
    fn refusal(&self, file: &LinkedFile) -> String {
        let error = self.fit(file).unwrap_err();
        crate::phase::report(&error)
    }
}

#[test]
fn the_name_is_a_link_to_the_file_and_goes_again() {
    let ground = Ground::new();
    let made = ground.make();
    assert_eq!(ground.inode("link_remap.7"), ground.inode("a/lives"));
    assert!(ground.journal().exists());
    made.remove().unwrap();
    assert_eq!(ground.inode("link_remap.7"), None);
    assert!(ground.inode("a/lives").is_some() && !ground.journal().exists());
}

#[test]
fn what_criu_has_removed_is_no_error() {
    let ground = Ground::new();
    let made = ground.make();
    std::fs::remove_file(ground.path("link_remap.7")).unwrap();
    made.remove().unwrap();
    assert!(!ground.journal().exists());
}

#[test]
fn after_a_kill_the_journal_leads_to_the_name() {
    let ground = Ground::new();
    std::mem::forget(ground.make());
    recover(&ground.journal()).unwrap();
    assert_eq!(ground.inode("link_remap.7"), None);
    assert!(!ground.journal().exists());
    recover(&ground.journal()).unwrap();

    let later = br#"{"version":9,"links":[]}"#;
    std::fs::write(ground.journal(), later).unwrap();
    let error = recover(&ground.journal()).unwrap_err();
    assert!(crate::phase::report(&error).contains("unknown version 9"));
    assert!(ground.journal().exists());
}

#[test]
fn a_name_that_is_there_already_is_left_to_criu() {
    let ground = Ground::new();
    std::fs::hard_link(ground.path("a/lives"), ground.path("link_remap.7")).unwrap();
    ground.make().remove().unwrap();
    assert_eq!(ground.inode("link_remap.7"), ground.inode("a/lives"));
    assert!(!ground.journal().exists());
}

#[test]
fn a_file_of_others_by_that_name_stays() {
    let ground = Ground::new();
    let made = ground.make();
    let path = ground.path("link_remap.7");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"of another").unwrap();
    made.remove().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"of another");
    let refusal = ground.refusal(&ground.record());
    assert!(refusal.contains("another file has it"), "{refusal}");
}

#[test]
fn another_file_is_refused_with_what_differs() {
    let ground = Ground::new();
    let change = |change: &dyn Fn(&mut LinkedFile)| {
        let mut record = ground.record();
        change(&mut record);
        ground.refusal(&record)
    };
    let longer = change(&|record| record.size_bytes = 9);
    assert!(longer.contains("it has 4 bytes, not 9"), "{longer}");
    let mode = change(&|record| record.mode = 0o10_600);
    assert!(mode.contains("not 10600"), "{mode}");
    let missing = change(&|record| record.survivor = "a/other".into());
    assert!(
        missing.contains("the volume must hold the same files"),
        "{missing}"
    );
    let no_bind = change(&|record| record.destination = "/other".into());
    assert!(no_bind.contains("no bind mount"), "{no_bind}");
    let name = change(&|record| record.link = "a/passwd".into());
    assert!(name.contains("no name that CRIU makes"), "{name}");
    let no_root = change(&|record| record.destination = "/".into());
    assert!(
        no_root.contains("where the container's root is"),
        "{no_root}"
    );
}

#[test]
fn on_the_root_the_remedy_is_its_layer() {
    let ground = Ground::new();
    let root = ground.bundle.path().join("rootfs");
    std::fs::create_dir(&root).unwrap();
    let config = ground.bundle.path().join("config.json");
    std::fs::write(&config, r#"{"root":{"path":"rootfs"},"x":1}"#).unwrap();
    let mut record = ground.record();
    record.destination = "/".into();
    let refusal = ground.refusal(&record);
    assert!(refusal.contains("--rw"), "{refusal}");
    std::fs::create_dir(root.join("a")).unwrap();
    std::fs::write(root.join("a/lives"), b"text").unwrap();
    ground.fit(&record).unwrap();
}

#[test]
fn nothing_leads_out_of_the_volume() {
    let ground = Ground::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("lives"), b"text").unwrap();
    symlink(outside.path(), ground.path("out")).unwrap();
    let record = |survivor: &str, link: &str| LinkedFile {
        survivor: survivor.into(),
        link: link.into(),
        ..ground.record()
    };
    let up = format!("../{}/lives", outside.path().file_name().unwrap().display());
    for (survivor, link) in [
        ("out/lives", "link_remap.7"),
        (&up, "link_remap.7"),
        ("a/lives", "out/link_remap.7"),
        ("a/lives", "../link_remap.7"),
        ("a/lives", "/link_remap.7"),
        ("", "link_remap.7"),
    ] {
        let refusal = ground.refusal(&record(survivor, link));
        assert!(refusal.contains("does not have it"), "{refusal}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn one_that_cannot_be_made_takes_the_others_back() {
    let ground = Ground::new();
    let second = LinkedFile {
        link: "a/link_remap.8".into(),
        ..ground.record()
    };
    let mut relinks = ground.fit(&ground.record()).unwrap();
    relinks.0.extend(ground.fit(&second).unwrap().0);
    std::fs::write(ground.path("a/link_remap.8"), b"meanwhile").unwrap();
    relinks.make(&ground.journal()).unwrap_err();
    assert_eq!(ground.inode("link_remap.7"), None);
    assert!(ground.inode("a/link_remap.8").is_some() && !ground.journal().exists());
}

#[test]
fn a_symbolic_link_is_linked_itself() {
    let ground = Ground::new();
    symlink("nowhere", ground.path("s")).unwrap();
    let found = std::fs::symlink_metadata(ground.path("s")).unwrap();
    let record = LinkedFile {
        survivor: Path::new("s").to_owned(),
        size_bytes: found.len(),
        mode: found.mode(),
        ..ground.record()
    };
    let relinks = ground.fit(&record).unwrap();
    let made = relinks.make(&ground.journal()).unwrap();
    assert_eq!(ground.inode("link_remap.7"), ground.inode("s"));
    made.remove().unwrap();
}

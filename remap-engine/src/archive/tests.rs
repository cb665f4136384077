//! Tests that hold for every layout.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::manifest::{DumpOptions, Manifest};

/// A checkpoint of the engine, and what is to be added.
struct Ground {
    root: tempfile::TempDir,
    container: Container,
}

impl Ground {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let images = root.path().join("images");
        fs::create_dir(&images).unwrap();
        fs::write(images.join("inventory.img"), b"inventory").unwrap();
        fs::write(images.join("empty.img"), b"").unwrap();
        fs::write(images.join("stats-dump"), b"written later").unwrap();
        let mut pages = vec![0_u8; 3 << 20];
        for (at, byte) in pages.iter_mut().enumerate().skip(1 << 20).take(70_000) {
            *byte = (at % 251) as u8;
        }
        fs::write(images.join("pages-1.img"), pages).unwrap();
        let versions = BTreeMap::from([("criu".to_owned(), "4.1".to_owned())]);
        let manifest = Manifest::build(&images, versions, DumpOptions::default(), vec![]).unwrap();
        manifest.write(&images).unwrap();
        let runtime = Runtime {
            name: "io.containerd.runc.v2".to_owned(),
            options: Some(Any {
                type_url: "containerd.runc.v1.Options".to_owned(),
                value: vec![8, 1],
            }),
            ..Runtime::default()
        };
        let spec = json!({"ociVersion": "1.1.0", "process": {"args": ["sh"]}});
        let mut container = Container::new("one", runtime, spec);
        container.snapshotter = Some("overlayfs".to_owned());
        container.other.insert("later".to_owned(), json!([1, {}]));
        Self { root, container }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, layout: Layout, compression: Compression) -> Result<Written, ArchiveError> {
        let images = self.path("images");
        let source = Source {
            images: &images,
            container: Some(&self.container),
            rootfs_diff: Some(RootfsDiff {
                media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
                digest: None,
                content: Box::new(vec![0_u8; 1024]),
            }),
            base_image: None,
            name: None,
        };
        write(
            &source,
            layout,
            compression,
            &self.path("archive"),
            &mut go_on,
        )
    }

    /// What is beside the checkpoint.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.root.path()).unwrap();
        let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    files.collect()
}

#[test]
fn what_is_written_comes_back() {
    let ground = Ground::new();
    let written = ground.write(Layout::Directory, Compression::None).unwrap();
    assert_eq!(written.path, ground.path("archive"));
    let archive = open(&written.path).unwrap();
    assert_eq!(archive.container(), Some(&ground.container));
    assert!(archive.manifest().is_some() && archive.kind().is_ours);
    assert_eq!(archive.verify(&mut go_on).unwrap(), []);
    let unpacked = ground.path("unpacked");
    archive.unpack(&unpacked, &mut go_on).unwrap();
    let mode = fs::metadata(&unpacked).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let found = contents(&unpacked);
    for name in [
        "empty.img",
        "inventory.img",
        "pages-1.img",
        "stats-dump",
        "remap-manifest.json",
    ] {
        let before = fs::read(ground.path("images").join(name)).unwrap();
        assert!(found[name] == before, "{name}");
    }
    let names: Vec<_> = archive.files().iter().map(|file| &file.name).collect();
    assert_eq!(names, found.keys().collect::<Vec<_>>());
    assert_eq!(ground.names(), ["archive", "images", "unpacked"]);
}

#[test]
fn an_interrupted_one_leaves_nothing() {
    let ground = Ground::new();
    let images = ground.path("images");
    let source = Source {
        images: &images,
        container: None,
        rootfs_diff: None,
        base_image: None,
        name: None,
    };
    let stop = &mut |done| match done {
        0..1000 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let layout = Layout::Directory;
    let written = write(&source, layout, Compression::None, &ground.path("a"), stop);
    assert!(matches!(written, Err(ArchiveError::Interrupted)));
    assert_eq!(ground.names(), ["images"]);
}

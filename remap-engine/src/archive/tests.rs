//! Tests that hold for every layout.

mod damage;
mod hostile;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::manifest::{DumpOptions, Manifest};

const ZSTD: Compression = Compression::Zstd {
    level: 3,
    threads: 2,
};

/// Every layout in every form.
const FORMS: [(Layout, Compression); 7] = [
    (Layout::Directory, Compression::None),
    (Layout::Oci, Compression::None),
    (Layout::Oci, ZSTD),
    (Layout::Registry, Compression::None),
    (Layout::Registry, ZSTD),
    (Layout::Podman, Compression::None),
    (Layout::Podman, ZSTD),
];

/// A checkpoint of the engine, and what is to be added.
struct Ground {
    root: tempfile::TempDir,
    container: Container,
}

impl Ground {
    /// With so many bytes of memory.
    fn new(memory: usize) -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let images = root.path().join("images");
        fs::create_dir(&images).unwrap();
        fs::write(images.join("inventory.img"), b"inventory").unwrap();
        fs::write(images.join("empty.img"), b"").unwrap();
        fs::write(images.join("stats-dump"), b"written later").unwrap();
        let mut pages = vec![0_u8; memory];
        for (at, byte) in pages
            .iter_mut()
            .enumerate()
            .skip(memory / 3)
            .take(memory / 4)
        {
            *byte = u8::try_from(at * at / 7 % 251).unwrap();
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
        container.image = Some(Image::named("example/busybox:1"));
        container.other.insert("later".to_owned(), json!([1, {}]));
        Self { root, container }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, form: (Layout, Compression), name: &str) -> Result<Written, ArchiveError> {
        self.write_until(form, name, &mut go_on)
    }

    fn write_until(
        &self,
        (layout, compression): (Layout, Compression),
        name: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Written, ArchiveError> {
        let images = self.path("images");
        let source = Source {
            images: &images,
            container: Some(&self.container),
            rootfs_diff: Some(RootfsDiff {
                media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
                digest: None,
                content: Box::new(changes()),
            }),
            base_image: None,
            name: None,
        };
        let destination = self.path(name);
        write(&source, layout, compression, &destination, progress)
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

/// Changes of a root file system: something is gone.
fn changes() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    tar.append_data(&mut header, "etc/.wh.gone", &[][..])
        .unwrap();
    tar.into_inner().unwrap()
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
    for form in FORMS {
        let ground = Ground::new(3 << 20);
        let written = ground.write(form, "archive").unwrap();
        let archive = open(&written.path).unwrap();
        let kind = archive.kind();
        assert_eq!((kind.layout, kind.is_ours), (form.0, true));
        let is_compressed = form.1 == ZSTD && form.0 != Layout::Registry;
        assert_eq!(kind.is_compressed, is_compressed, "{form:?}");
        assert_eq!(archive.container(), Some(&ground.container));
        assert!(archive.manifest().is_some());
        assert_eq!(archive.verify(&mut go_on).unwrap(), [], "{form:?}");
        let unpacked = ground.path("unpacked");
        archive.unpack(&unpacked, &mut go_on).unwrap();
        let mode = fs::metadata(&unpacked).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let found = contents(&unpacked);
        for entry in fs::read_dir(ground.path("images")).unwrap() {
            let entry = entry.unwrap();
            let before = fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            assert!(found[&name] == before, "{name}");
        }
        let names: Vec<_> = archive.files().iter().map(|file| &file.name).collect();
        assert_eq!(names, found.keys().collect::<Vec<_>>());
        assert_eq!(ground.names(), ["archive", "images", "unpacked"]);
    }
}

#[test]
fn each_layout_is_made_of_each_other() {
    for from in FORMS {
        for to in FORMS {
            let ground = Ground::new(10_000);
            ground.write(from, "first").unwrap();
            let first = open(&ground.path("first")).unwrap();
            first.unpack(&ground.path("plain"), &mut go_on).unwrap();
            let source = Source {
                images: &ground.path("plain"),
                container: None,
                rootfs_diff: None,
                base_image: None,
                name: None,
            };
            let second = ground.path("second");
            write(&source, to.0, to.1, &second, &mut go_on).unwrap();
            let second = open(&second).unwrap();
            assert_eq!(second.container(), Some(&ground.container));
            assert_eq!(second.verify(&mut go_on).unwrap(), [], "{from:?} {to:?}");
            second.unpack(&ground.path("again"), &mut go_on).unwrap();
            let (mut one, mut other) = (
                contents(&ground.path("plain")),
                contents(&ground.path("again")),
            );
            // containerd wants it compressed, and the list of files says so.
            for name in ["rootfs-diff.tar", "remap-archive.json"] {
                assert!(one.remove(name).is_some() && other.remove(name).is_some());
            }
            assert!(one == other, "{from:?} {to:?}");
        }
    }
}

#[test]
fn an_interrupted_one_leaves_nothing() {
    for form in FORMS {
        let ground = Ground::new(100_000);
        let stop = &mut |done| match done {
            0..1000 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let written = ground.write_until(form, "archive", stop);
        assert!(
            matches!(written, Err(ArchiveError::Interrupted)),
            "{written:?}"
        );
        assert_eq!(ground.names(), ["images"]);
        ground.write(form, "archive").unwrap();
        let archive = open(&ground.path("archive")).unwrap();
        let unpacked = archive.unpack(&ground.path("unpacked"), stop);
        assert!(matches!(unpacked, Err(ArchiveError::Interrupted)));
        assert_eq!(ground.names(), ["archive", "images"]);
    }
}

#[test]
fn nothing_is_overwritten() {
    for form in FORMS {
        let ground = Ground::new(1000);
        fs::write(ground.path("archive"), b"other").unwrap();
        let written = ground.write(form, "archive");
        assert!(matches!(written, Err(ArchiveError::Exists(_))));
        assert_eq!(fs::read(ground.path("archive")).unwrap(), b"other");
        ground.write(form, "second").unwrap();
        let archive = open(&ground.path("second")).unwrap();
        let unpacked = archive.unpack(&ground.path("archive"), &mut go_on);
        assert!(matches!(unpacked, Err(ArchiveError::Exists(_))));
        assert_eq!(fs::read(ground.path("archive")).unwrap(), b"other");
    }
}

#[test]
fn a_base_image_comes_along_and_must_be_whole() {
    let ground = Ground::new(1000);
    let (images, destination) = (ground.path("images"), ground.path("archive"));
    let bytes = b"{}".to_vec();
    let digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let descriptor = Descriptor {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        digest: format!("sha256:{digest}"),
        size: 2,
        annotations: BTreeMap::new(),
        other: serde_json::Map::new(),
    };
    for (content, is_whole) in [(bytes, true), (b"[]".to_vec(), false), (vec![], false)] {
        let blob = Blob {
            descriptor: descriptor.clone(),
            content: Box::new(content),
        };
        let source = Source {
            images: &images,
            container: Some(&ground.container),
            rootfs_diff: None,
            base_image: Some(BaseImage {
                reference: "example/busybox:1".to_owned(),
                target: descriptor.clone(),
                blobs: vec![blob],
            }),
            name: None,
        };
        let none = Compression::None;
        let written = write(&source, Layout::Oci, none, &destination, &mut go_on);
        assert_eq!(written.is_ok(), is_whole, "{written:?}");
        if is_whole {
            let archive = open(&destination).unwrap();
            assert_eq!(archive.verify(&mut go_on).unwrap(), []);
            fs::remove_file(&destination).unwrap();
        }
        assert_eq!(ground.names(), ["images"]);
    }
}

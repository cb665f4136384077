//! The archive's form, on a tree that is made up here. That containerd and
//! Python are content with the real ones is for the end-to-end tests to show.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{BUSYBOX_IMAGE, busybox};

/// A tree with echo in busybox's place: asked to `--list` its applets, it names
/// one, which is called `--list`.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let directory = tree.path().join("usr/bin");
    fs::create_dir_all(&directory).unwrap();
    symlink("/bin/echo", directory.join("busybox")).unwrap();
    tree
}

fn entries(archive: impl Read) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            bytes = format!("-> {}", target.display()).into_bytes();
        }
        found.insert(path, bytes);
    }
    found
}

/// What `descriptor` describes, after a look at its digest and size.
fn blob<'a>(layout: &'a BTreeMap<PathBuf, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = &layout[&Path::new("blobs").join(digest.replace(':', "/"))];
    assert_eq!(digest, format!("sha256:{:x}", Sha256::digest(bytes)));
    assert_eq!(descriptor["size"].as_u64().unwrap(), bytes.len() as u64);
    bytes
}

#[test]
fn archive_is_a_complete_layout() {
    let tree = tree();
    let out = tree.path().join("image.tar");
    let digest = busybox(tree.path(), &out).unwrap();

    let layout = entries(fs::File::open(&out).unwrap());
    let index: Value = serde_json::from_slice(&layout[Path::new("index.json")]).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], digest.as_str());
    assert_eq!(
        entry["annotations"]["io.containerd.image.name"],
        BUSYBOX_IMAGE
    );
    let manifest: Value = serde_json::from_slice(blob(&layout, entry)).unwrap();
    let config: Value = serde_json::from_slice(blob(&layout, &manifest["config"])).unwrap();
    assert_eq!(config["os"], "linux");
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        manifest["layers"][0]["digest"]
    );

    let root = entries(blob(&layout, &manifest["layers"][0]));
    assert_eq!(root[Path::new("usr/bin/--list")], b"-> busybox");
    assert_eq!(root[Path::new("bin")], b"-> usr/bin");
    assert_eq!(
        root[Path::new("usr/bin/busybox")],
        fs::read("/bin/echo").unwrap()
    );
    assert!(root.contains_key(Path::new("dev/shm")));
}

#[test]
fn same_tree_gives_the_same_digest() {
    let tree = tree();
    let (first, second) = (tree.path().join("1.tar"), tree.path().join("2.tar"));
    let digest = busybox(tree.path(), &first).unwrap();
    assert_eq!(digest, busybox(tree.path(), &second).unwrap());
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn failure_leaves_no_archive() {
    let tree = tempfile::tempdir().unwrap();
    let out = tree.path().join("image.tar");
    let error = busybox(tree.path(), &out).unwrap_err();
    assert!(
        format!("{error:#}").contains("usr/bin/busybox"),
        "{error:#}"
    );
    assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 0);
}

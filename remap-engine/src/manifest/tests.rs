//! Tests of the manifest.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn build(dir: &Path) -> Manifest {
    let options = DumpOptions {
        tcp_established: true,
        empty_ns: vec!["network".to_owned()],
        ..DumpOptions::default()
    };
    let mount = CarriedMount {
        below: "".into(),
        origin: None,
        shared: Default::default(),
        partial: false,
        destination: Path::new(std::ffi::OsStr::from_bytes(b"/dev/sh\xffm")).to_owned(),
        archive: "shm.tar".to_owned(),
        fs_options: vec!["size=65536k".to_owned()],
        bytes: 3,
        entries: 2,
        sockets: vec![],
    };
    let versions = BTreeMap::from([("criu".to_owned(), "4.1".to_owned())]);
    Manifest::build(dir, versions, options, vec![mount]).unwrap()
}

fn checkpoint() -> (tempfile::TempDir, Manifest) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("shm.tar"), b"abc").unwrap();
    fs::write(dir.path().join("pages-1.img"), vec![7; 3 << 20]).unwrap();
    fs::write(dir.path().join("empty.img"), b"").unwrap();
    fs::write(dir.path().join("stats-dump"), b"later").unwrap();
    fs::write(dir.path().join("dump.log"), b"later").unwrap();
    let manifest = build(dir.path());
    manifest.write(dir.path()).unwrap();
    (dir, manifest)
}

fn damage(dir: &Path, manifest: &Manifest) -> Vec<DamagedFile> {
    match manifest.verify(dir) {
        Ok(()) => Vec::new(),
        Err(ManifestError::Damaged { files, .. }) => files.0,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_was_written_is_read_and_fulfilled() {
    let (dir, manifest) = checkpoint();
    let path = dir.path().join(FILE_NAME);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let read = Manifest::read(dir.path()).unwrap().unwrap();
    assert_eq!(read, manifest);
    let names: Vec<_> = read.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["empty.img", "pages-1.img", "shm.tar"]);
    // As sha256sum prints it.
    assert_eq!(
        read.files["shm.tar"].sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    fs::write(dir.path().join("restore.log"), b"more").unwrap();
    fs::write(dir.path().join("stats-dump"), b"changed").unwrap();
    read.verify(dir.path()).unwrap();
    // Again in the same directory, over a leftover of a crash.
    fs::write(dir.path().join(store::NEW_NAME), b"half").unwrap();
    build(dir.path()).write(dir.path()).unwrap();
    assert!(!dir.path().join(store::NEW_NAME).exists());
}

#[test]
fn no_manifest_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Manifest::read(dir.path()).unwrap(), None);
}

#[test]
fn every_damaged_file_is_named() {
    let (dir, manifest) = checkpoint();
    let path = |name| dir.path().join(name);
    fs::write(path("shm.tar"), b"abd").unwrap();
    fs::write(path("pages-1.img"), b"short").unwrap();
    fs::remove_file(path("empty.img")).unwrap();
    let damaged = damage(dir.path(), &manifest);
    let kinds: Vec<_> = damaged
        .iter()
        .map(|file| (file.name.as_str(), file.damage))
        .collect();
    assert_eq!(
        kinds,
        [
            ("empty.img", Damage::Missing),
            (
                "pages-1.img",
                Damage::Size {
                    found: 5,
                    expected: 3 << 20
                }
            ),
            ("shm.tar", Damage::Contents),
        ]
    );
    let text = manifest.verify(dir.path()).unwrap_err().to_string();
    assert!(
        text.contains("`empty.img` is missing, `pages-1.img` has 5 bytes"),
        "{text}"
    );
}

#[test]
fn links_and_pipes_are_not_followed() {
    let (dir, manifest) = checkpoint();
    fs::rename(dir.path().join("shm.tar"), dir.path().join("else")).unwrap();
    symlink("else", dir.path().join("shm.tar")).unwrap();
    fs::remove_file(dir.path().join("empty.img")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("empty.img"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let kinds: Vec<_> = damage(dir.path(), &manifest)
        .iter()
        .map(|file| file.damage)
        .collect();
    assert_eq!(kinds, [Damage::Type, Damage::Type]);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let (dir, manifest) = checkpoint();
    let path = dir.path().join("pages-1.img");
    let good = fs::read(&path).unwrap();
    for at in [0, 1, 4095, 4096, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(
            damage(dir.path(), &manifest)[0].damage,
            Damage::Contents,
            "byte {at}"
        );
    }
    fs::write(&path, good).unwrap();
    manifest.verify(dir.path()).unwrap();
}

#[test]
fn other_versions_and_damage_are_errors_and_new_fields_are_not() {
    let (dir, manifest) = checkpoint();
    let path = dir.path().join(FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        Manifest::read(dir.path())
    };
    let version = format!("\"version\": {VERSION}");
    assert!(text.contains(&version));
    let newer = read(&text.replace(&version, "\"version\": 99, \"odd\": []"));
    assert!(
        matches!(newer, Err(ManifestError::Version { found: 99, .. })),
        "{newer:?}"
    );
    let more = text.replace(&version, &format!("{version}, \"odd\": [1]"));
    assert_eq!(read(&more).unwrap().unwrap(), manifest);
    for bad in [
        text.replace("\"shm.tar\"", "\"../shm.tar\""),
        text.replace("\"empty.img\"", "\"a\\\\x2fb\""),
        text.replace("\"archive\": \"shm.tar\"", "\"archive\": \"other.tar\""),
    ] {
        assert!(
            matches!(read(&bad), Err(ManifestError::Malformed { .. })),
            "{bad}"
        );
    }
    for length in 0..text.len() - 1 {
        assert!(read(&text[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn a_manifest_that_is_too_long_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join(FILE_NAME)).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(matches!(
        Manifest::read(dir.path()),
        Err(ManifestError::Malformed { .. })
    ));
}

#[test]
fn a_listed_file_that_vanished_stops_the_commit() {
    let (dir, manifest) = checkpoint();
    fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
    fs::remove_file(dir.path().join("shm.tar")).unwrap();
    assert!(manifest.write(dir.path()).is_err());
    assert_eq!(Manifest::read(dir.path()).unwrap(), None);
}

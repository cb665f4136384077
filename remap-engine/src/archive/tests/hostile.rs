//! Archives that were made to do damage.

use std::io::Write as _;

use tar::{Builder, EntryType, Header};

use super::*;

/// A tar as Podman would make it, with more members.
fn podman(members: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let own = [
        ("config.dump", &br#"{"id": "a", "runtime": "runc"}"#[..]),
        ("spec.dump", b"{}"),
        ("checkpoint/inventory.img", b"inventory"),
    ];
    let own = own.map(|(name, bytes)| (name, EntryType::Regular, bytes));
    for (name, kind, bytes) in own.iter().chain(members) {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        if !kind.is_file() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn unpacked(bytes: &[u8]) -> (Ground, Result<(), ArchiveError>) {
    let ground = Ground::new(1000);
    fs::write(ground.path("archive"), bytes).unwrap();
    let result = open(&ground.path("archive"))
        .and_then(|archive| archive.unpack(&ground.path("unpacked"), &mut go_on));
    (ground, result)
}

fn assert_refused(bytes: &[u8], expected: &str) {
    let (ground, result) = unpacked(bytes);
    let error = result.unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(ground.names(), ["archive", "images"]);
}

#[test]
fn an_archive_of_podmans() {
    let (ground, result) = unpacked(&podman(&[
        ("checkpoint/pages-1.img", EntryType::Regular, b"pages"),
        ("rootfs-diff.tar", EntryType::Regular, b"changes"),
        ("devshm-checkpoint.tar", EntryType::Regular, b"memory"),
        ("ctr.log", EntryType::Regular, b"not needed"),
        ("volumes/x.tar", EntryType::Regular, b"not needed"),
    ]));
    result.unwrap();
    let archive = open(&ground.path("archive")).unwrap();
    assert!(!archive.kind().is_ours && archive.manifest().is_none());
    assert_eq!(archive.container().unwrap().id, "a");
    let names = contents(&ground.path("unpacked"));
    let names: Vec<_> = names.keys().collect();
    let expected = [
        "devshm-checkpoint.tar",
        "inventory.img",
        "pages-1.img",
        "rootfs-diff.tar",
    ];
    assert_eq!(names, expected);
}

#[test]
fn names_outside() {
    for name in [
        "../x",
        "/x",
        "checkpoint/../../x",
        "checkpoint//x",
        "a/./b",
        "a\nb",
    ] {
        let bytes = podman(&[(name, EntryType::Regular, b"x")]);
        assert_refused(&bytes, "a file with the name");
    }
}

#[test]
fn what_is_no_file() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        assert_refused(&podman(&[("checkpoint/x", kind, b"")]), "which is no file");
    }
}

#[test]
fn the_same_name_twice() {
    let twice = (
        "checkpoint/inventory.img",
        EntryType::Regular,
        &b"other"[..],
    );
    assert_refused(&podman(&[twice]), "`checkpoint/inventory.img` twice");
}

#[test]
fn more_data_than_there_is_room() {
    let mut bytes = podman(&[]);
    let mut header = Header::new_gnu();
    header.set_path("checkpoint/pages-1.img").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_size(1 << 60);
    header.set_cksum();
    let end = bytes.len() - 1024;
    bytes.splice(end..end, header.as_bytes().iter().copied());
    assert_refused(&bytes, "ends too early");
}

#[test]
fn a_bomb() {
    // The list says that a file is small, and it is not.
    let ground = Ground::new(1000);
    ground
        .write((Layout::Podman, Compression::None), "archive")
        .unwrap();
    let bytes = fs::read(ground.path("archive")).unwrap();
    let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut tar = tar::Archive::new(bytes.as_slice());
    let mut bomb = Builder::new(&mut packed);
    for entry in tar.entries().unwrap() {
        let entry = entry.unwrap();
        let mut header = entry.header().clone();
        if header.path().unwrap().ends_with("pages-1.img") {
            header.set_size(256 << 20);
            header.set_cksum();
            bomb.append(&header, std::io::Read::take(std::io::repeat(0), 256 << 20))
                .unwrap();
        } else {
            bomb.append(&header, entry).unwrap();
        }
    }
    bomb.finish().unwrap();
    drop(bomb);
    packed.flush().unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    assert_refused(
        &packed,
        "`pages-1.img` has more than 1000 bytes instead of 1000",
    );
}

#[test]
fn what_is_none() {
    for bytes in [&b""[..], b"text", &[0; 1024], &[b'x'; 4096]] {
        let (ground, result) = unpacked(bytes);
        assert!(result.is_err());
        assert_eq!(ground.names(), ["archive", "images"]);
    }
}

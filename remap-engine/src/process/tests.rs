use super::maps::Mapping;
use super::*;

#[test]
fn own_files_are_found_with_inode_and_mount() {
    let mut file = tempfile::tempfile_in("/dev/shm").unwrap();
    io::Write::write_all(&mut file, b"abc").unwrap();
    let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file).unsigned_abs();
    let uses = own.file_uses(&SoleMounts::default()).unwrap();
    let found = uses.iter().find(|one| one.kind == UseKind::Fd(fd)).unwrap();
    assert_eq!((found.links, found.size_bytes), (0, 3));
    assert!(strip_deleted(&found.name).is_some());
    assert!(
        own.mounts()
            .unwrap()
            .iter()
            .any(|mount| mount.id == found.mount_id)
    );
    assert!(uses.iter().any(|one| one.kind == UseKind::Exe));
    assert!(
        uses.iter()
            .any(|one| matches!(one.kind, UseKind::Mapping(..)))
    );
}

#[test]
fn a_memfd_lies_on_the_memfd_device_and_a_real_file_of_that_name_does_not() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let real = std::fs::File::create(dir.path().join("memfd:x (deleted)")).unwrap();
    let memfd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
    let device_of = |fd: i32| {
        let kind = UseKind::Fd(fd.unsigned_abs());
        own.file_use(kind).unwrap().unwrap().device
    };
    let memory = memfd_device().unwrap();
    assert_eq!(device_of(std::os::fd::AsRawFd::as_raw_fd(&memfd)), memory);
    assert_ne!(device_of(std::os::fd::AsRawFd::as_raw_fd(&real)), memory);
}

#[test]
fn a_tree_holds_the_children() {
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    // Children of other tests come and go.
    let tree = loop {
        match process_tree(own) {
            Err(error) if error.is_gone() => {}
            tree => break tree.unwrap(),
        }
    };
    let pid = i32::try_from(child.id()).unwrap();
    let pinned = Process::pin(pid).unwrap();
    assert!(!pinned.has_ended());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(pinned.has_ended());
    assert!(tree.iter().any(|process| process.pid() == pid));
}

#[test]
fn maps_without_a_file_are_left_out() {
    let maps = b"7f00-7f10 rw-s 00000000 00:1a 77      /dev/shm/a b\n8000-9000 rw-p 00000000 00:00 0 [heap]\n";
    let expected = Mapping {
        range: (0x7f00, 0x7f10),
        device: Device {
            major: 0,
            minor: 0x1a,
        },
        inode: 77,
        name: b"/dev/shm/a b".to_vec(),
    };
    assert_eq!(mapped_files(maps), vec![expected]);
}

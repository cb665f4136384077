use super::*;
use crate::mountinfo;

const TMPFS: Device = Device {
    major: 0,
    minor: 26,
};

fn sole(text: &str) -> SoleMounts {
    SoleMounts::of(mountinfo::parse(text.as_bytes()).unwrap().iter())
}

fn held(inode: u64, name: &str) -> FileUse {
    FileUse {
        pid: 7,
        kind: UseKind::Fd(3),
        device: TMPFS,
        inode,
        mount_id: 12,
        name: name.into(),
        links: 1,
        size_bytes: 0,
        allocated_bytes: 0,
        mode: 0o100_600,
    }
}

#[test]
fn a_mount_is_sole_if_nobody_sees_another_of_its_tmpfs() {
    let disk = "11 1 8:1 / / rw - ext4 d rw\n";
    let shm = "12 11 0:26 / /dev/shm rw - tmpfs shm rw\n";
    // A second process sees the same mounts.
    let SoleMounts(ids) = sole(&[disk, shm, disk, shm].concat());
    assert_eq!(ids, HashSet::from([12]));
    let SoleMounts(ids) = sole(&[shm, "13 11 0:26 /a /a rw - tmpfs shm rw\n"].concat());
    assert_eq!(ids, HashSet::new());
}

#[test]
fn a_mapping_is_known_by_its_inode_and_its_name() {
    let uses = [held(5, "/dev/shm/a"), held(6, "/dev/shm/b")];
    let mut known = Known::default();
    known.add(&uses[0], 0);
    known.add(&uses[1], 1);
    let twin = |device, inode, name: &str| {
        let range = (4096, 8192);
        let name = name.as_bytes().to_vec();
        let mapping = Mapping {
            range,
            device,
            inode,
            name,
        };
        known.twin(&mapping, &uses).map(|twin| twin.inode)
    };
    assert_eq!(twin(TMPFS, 6, "/dev/shm/b"), Some(6));
    assert_eq!(twin(TMPFS, 6, "/dev/shm/link-of-b"), None);
    assert_eq!(twin(TMPFS, 6, "/dev/shm/b (deleted)"), None);
    assert_eq!(twin(TMPFS, 7, "/dev/shm/b"), None);
    let elsewhere = Device { minor: 27, ..TMPFS };
    assert_eq!(twin(elsewhere, 6, "/dev/shm/b"), None);
}

#[test]
fn fewer_looks_find_the_same() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let program = dir.path().join("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut child = std::process::Command::new(&program)
        .arg("600")
        .spawn()
        .unwrap();
    let process = Process::pin(i32::try_from(child.id()).unwrap()).unwrap();
    let of_program = |one: &&FileUse| one.name == program.as_os_str();
    let look = |sole: &SoleMounts| process.file_uses(sole).unwrap();
    let everything = SoleMounts::default();
    // Until it has been loaded it changes.
    let (fewer, all) = loop {
        let before = look(&everything);
        let mount = before.iter().find(of_program).map(|one| one.mount_id);
        let fewer = look(&SoleMounts(mount.into_iter().collect()));
        if before.len() > 8 && look(&everything) == before {
            break (fewer, before);
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fewer, all);
    // Its segments, of which only the first is looked at, and the program itself.
    assert!(all.iter().filter(of_program).count() > 3);
}

#[test]
fn only_what_is_on_the_devices_is_told() {
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file).unsigned_abs();
    let device = own.file_use(UseKind::Fd(fd)).unwrap().unwrap().device;
    let there = own.uses_on(&HashSet::from([device]));
    assert!(there.iter().any(|one| one.kind == UseKind::Fd(fd)));
    assert!(there.iter().all(|one| one.device == device));
    let exe = own.file_use(UseKind::Exe).unwrap().unwrap();
    let there = own.uses_on(&HashSet::from([exe.device]));
    assert!(there.contains(&exe) && there.iter().all(|one| one.kind != UseKind::Fd(fd)));
}

use super::*;
use crate::process::{SoleMounts, memfd_device};
use std::os::unix::net::UnixStream;

/// What is found of this very process; children of other tests come and go.
fn found() -> Vec<Obstacle> {
    let tree = [Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap()];
    let uses: Vec<_> = tree
        .iter()
        .flat_map(|process| process.file_uses(&SoleMounts::default()).unwrap())
        .collect();
    let memfd = memfd_device().unwrap();
    find(&Held::new(&tree, &uses, memfd)).unwrap()
}

fn holders(found: &[Obstacle], kind: &Kind) -> Vec<Holder> {
    let of_kind = found.iter().filter(|one| one.kind == *kind);
    of_kind.flat_map(|one| one.holders.clone()).collect()
}

#[test]
fn a_lock_is_found_with_its_process_and_its_descriptor() {
    let file = tempfile::NamedTempFile::new().unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(file.as_file());
    let found = holders(&found(), &Kind::FileLock);
    let own = found
        .iter()
        .find(|one| one.by == Some(UseKind::Fd(fd.unsigned_abs())));
    let own = own.unwrap();
    assert_eq!(own.pid.unsigned_abs(), std::process::id());
    assert_eq!(own.name, format!("{} (FLOCK)", file.path().display()));
}

#[test]
fn a_pair_that_stays_inside_is_not_found() {
    let (one, _other) = UnixStream::pair().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&one).unsigned_abs();
    let found = holders(&found(), &Kind::UnixOutside { reconnects: false });
    assert!(found.iter().all(|one| one.by != Some(UseKind::Fd(fd))));
}

#[test]
fn an_obstacle_is_text_and_json() {
    let holder = |pid| Holder {
        pid,
        command: "app".into(),
        by: Some(UseKind::Fd(3)),
        name: "anon_inode:[io_uring]".into(),
    };
    let obstacle = Obstacle {
        kind: Kind::Anonymous {
            inode: "[io_uring]".into(),
        },
        holders: (1..=8).map(holder).collect(),
    };
    let said = obstacle.holders();
    assert!(said.starts_with("pid 1 (app) by fd 3 on anon_inode:[io_uring], pid 2"));
    assert!(said.ends_with("pid 6 (app) by fd 3 on anon_inode:[io_uring] and 2 more"));
    let json = serde_json::to_string(&obstacle).unwrap();
    assert!(
        json.starts_with(r#"{"obstacle":"anonymous","inode":"[io_uring]","holders":[{"pid":1"#)
    );
    let read: Obstacle = serde_json::from_str(&json).unwrap();
    assert_eq!(read, obstacle);
}

#[test]
fn a_thread_with_files_of_its_own_is_found_while_it_has_them() {
    let of_threads = || {
        let found = holders(&found(), &Kind::FileTable);
        found.into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    let (send, receive) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        send.send(nix::unistd::gettid()).unwrap();
        ended.recv().unwrap();
    });
    let name = format!("thread {}", receive.recv().unwrap());
    assert!(of_threads().contains(&name));
    end.send(()).unwrap();
    thread.join().unwrap();
    assert!(!of_threads().contains(&name));
}

#[test]
fn the_descriptors_of_a_dead_process_cannot_be_looked_at() {
    let mut child = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let path = format!("/proc/{}/fd", child.id());
    let dir = std::fs::File::open(&path).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&dir).unsigned_abs();
    let is_found = || {
        let found = holders(&found(), &Kind::Unseen);
        found.iter().any(|one| one.by == Some(UseKind::Fd(fd)))
    };
    assert!(!is_found());
    child.kill().unwrap();
    child.wait().unwrap();
    // Descriptors of other tests come and go, and it goes by their number first.
    assert!((0..100).any(|_| is_found()));
}

#[test]
fn every_kind_survives_its_json_form() {
    let device = Device {
        major: 10,
        minor: 2,
    };
    for kind in [
        Kind::Pidfd { inside: true },
        Kind::Device {
            block: false,
            device,
        },
        Kind::DeviceMapping { device },
        Kind::SocketFamily { family: 40 },
        Kind::SocketProtocol { protocol: 262 },
        Kind::UnixOutside { reconnects: false },
        Kind::Namespace {
            namespace: "pid".into(),
        },
        Kind::FileTable,
        Kind::Unseen,
    ] {
        let obstacle = Obstacle {
            kind,
            holders: vec![],
        };
        let json = serde_json::to_vec(&obstacle).unwrap();
        let read: Obstacle = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, obstacle);
    }
}

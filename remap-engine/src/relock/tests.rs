//! Locks taken by a process that knows nothing of it.

use std::fs::File;
use std::process::{Child, Command};

use super::inject;
use super::order::Order;
use super::tracer::follow;
use super::*;

/// `sleep` with the file as its standard input.
fn sleeper(file: &File) -> Child {
    let mut command = Command::new("sleep");
    command.arg("60").stdin(file.try_clone().unwrap());
    command.spawn().unwrap()
}

fn lock_of(child: &Child) -> PosixLock {
    PosixLock {
        pid: i32::try_from(child.id()).unwrap(),
        fd: 0,
        kind: i16::try_from(libc::F_WRLCK).unwrap(),
        start: 5,
        bytes: 10,
    }
}

fn state(child: &Child) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("State:"));
    line.unwrap().to_owned()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_takes_a_lock_and_goes_on_as_before() {
    let file = tempfile::tempfile().unwrap();
    let child = sleeper(&file);
    let lock = lock_of(&child);
    let locks = Locks(vec![lock]);
    let missing = locks.missing(lock.pid).unwrap();
    assert_eq!(missing, [lock]);
    let order = Order {
        processes: vec![lock.pid],
        locks: missing,
    };
    follow(&order).unwrap();
    assert_eq!(locks.missing(lock.pid).unwrap(), []);
    // It sleeps again, and nobody traces it.
    let status = || std::fs::read(format!("/proc/{}/status", lock.pid)).unwrap();
    assert_eq!(Status::parse(&status()).tracer, 0);
    while !state(&child).contains('S') {
        std::thread::yield_now();
    }
    end(child);
}

#[test]
fn a_lock_that_another_has_is_not_to_be_had() {
    let file = tempfile::tempfile().unwrap();
    let children = [sleeper(&file), sleeper(&file)];
    let [first, second] = [0, 1].map(|n: usize| lock_of(&children[n]));
    let order = |lock: PosixLock| Order {
        processes: vec![lock.pid],
        locks: vec![lock],
    };
    follow(&order(first)).unwrap();
    let error = follow(&order(second)).unwrap_err();
    assert!(error.contains("another process has a lock"), "{error}");
    assert!(
        error.contains(&format!("process {}", second.pid)),
        "{error}"
    );
    children.into_iter().for_each(end);
}

#[test]
fn what_is_not_traced_does_not_call() {
    let file = tempfile::tempfile().unwrap();
    let child = sleeper(&file);
    assert!(inject::lock(&lock_of(&child)).is_err());
    let unknown = Locks(vec![PosixLock {
        pid: i32::MAX,
        ..lock_of(&child)
    }]);
    let error = unknown
        .missing(i32::try_from(child.id()).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("not there"), "{error}");
    end(child);
}

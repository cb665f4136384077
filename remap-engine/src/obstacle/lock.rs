//! Locks and leases on files.

use super::{Found, Held, Kind};
use crate::process::{FileUse, ProcessError, UseKind};

/// CRIU reads the same lines, of every descriptor (`parse_fdinfo_pid_s`), and knows all kinds that
/// flock(2), fcntl(2) and its leases make.
pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    // To look at each descriptor takes long, and most containers have no lock.
    let all = std::fs::read("/proc/locks").unwrap_or_default();
    let pids = held.pids();
    if !owners(&all).any(|pid| pids.contains(&pid) || !lives(pid)) {
        return Ok(());
    }
    for (process, one) in held.uses().filter(|(_, one)| can_be_locked(one)) {
        let UseKind::Fd(fd) = one.kind else {
            continue;
        };
        let Some(fdinfo) = process.fdinfo(fd)? else {
            continue;
        };
        for kind in locks(&fdinfo) {
            let name = format!("{} ({kind})", crate::text::escape(&one.name));
            found.add(Kind::FileLock, process, Some(one.kind.clone()), name);
        }
    }
    Ok(())
}

/// The processes that have taken the locks of the machine, as far as they are seen from here; -1 is
/// that of one that belongs to a description (proc_locks(5)). A lock of flock(2) stays when they
/// have ended, with whoever has inherited it.
fn owners(locks: &[u8]) -> impl Iterator<Item = i32> {
    let lines = locks.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        // One that somebody waits for has an arrow before its kind.
        fields.find(|field| matches!(*field, "READ" | "WRITE" | "UNLCK" | "RW"))?;
        fields.next()?.parse().ok()
    })
}

fn lives(pid: i32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).unwrap_or(false)
}

fn can_be_locked(one: &FileUse) -> bool {
    one.name.as_encoded_bytes().starts_with(b"/")
}

/// The kinds of locks in the text of a descriptor's fdinfo: lines of the form
/// `lock: 1: FLOCK  ADVISORY  WRITE 7 00:1a:9 0 EOF`, as in /proc/locks (proc_locks(5)). Before
/// Linux 4.19 one whose owner cannot be seen is an empty line, over which CRIU goes.
fn locks(fdinfo: &[u8]) -> Vec<String> {
    let lines = fdinfo.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| line.strip_prefix(b"lock:\t"))
        .filter_map(|lock| {
            std::str::from_utf8(lock)
                .ok()?
                .split_ascii_whitespace()
                .nth(1)
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_lock_of_a_descriptor_is_told_by_its_kind() {
        let text = b"pos:\t0\nflags:\t0100002\nmnt_id:\t19\nino:\t9\n\
            lock:\t1: FLOCK  ADVISORY  WRITE 7 00:1a:9 0 EOF\n\
            lock:\t2: OFDLCK ADVISORY  READ  -1 00:1a:9 0 9\nlock:\t\n";
        assert_eq!(locks(text), ["FLOCK", "OFDLCK"]);
        assert_eq!(locks(b"pos:\t0\nlock:"), Vec::<String>::new());
    }

    #[test]
    fn the_owners_of_all_locks() {
        let text = b"1: POSIX  ADVISORY  WRITE 707 08:01:9 0 EOF\n1: -> POSIX  ADVISORY  WRITE 708 08:01:9 0 0\n\
            2: OFDLCK ADVISORY  READ  -1 00:1a:9 0 9\n3: LEASE  ACTIVE    READ  5 00:1a:9 0 EOF\n\xff\n";
        assert_eq!(owners(text).collect::<Vec<_>>(), [707, 708, -1, 5]);
        assert!(lives(1) && !lives(-1));
    }

    #[test]
    fn the_kernel_says_it_like_that() {
        let file = tempfile::tempfile().unwrap();
        let text = || {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            std::fs::read(format!("/proc/self/fdinfo/{fd}")).unwrap()
        };
        assert_eq!(locks(&text()), Vec::<String>::new());
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared).unwrap();
        assert_eq!(locks(&text()), ["FLOCK"]);
    }

    proptest! {
        #[test]
        fn odd_bytes_do_no_harm(text in prop::collection::vec(any::<u8>(), 0..200)) {
            locks(&text);
            owners(&text).count();
        }
    }
}

//! Locks and leases on files.

use std::collections::HashSet;

use super::{Found, Held, Kind, namespace_of_own};
use crate::process::{FileUse, ProcessError, UseKind};

/// The pid namespace that has all processes (`PROC_PID_INIT_INO` of linux/proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// So many descriptors at most are looked at one by one. With the list of all locks the kernel begins
/// by waiting for every processor of the machine, some milliseconds (`locks_start` of fs/locks.c,
/// `percpu_down_write`): a descriptor takes some microseconds.
const FEW: usize = 200;

/// CRIU reads the same lines, of every descriptor (`parse_fdinfo_pid_s`), and knows all kinds that
/// flock(2), fcntl(2) and its leases make.
pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let by_descriptor = |one: &FileUse| matches!(one.kind, UseKind::Fd(_)) && can_be_locked(one);
    let descriptors = held.uses().filter(|(_, one)| by_descriptor(one));
    let unlocked = if descriptors.take(FEW + 1).count() <= FEW {
        Unlocked::default()
    } else {
        // Most containers have no lock.
        let all = std::fs::read("/proc/locks").unwrap_or_default();
        let pids = held.pids();
        if !owners(&all).any(|pid| pids.contains(&pid) || !lives(pid)) {
            return Ok(());
        }
        Unlocked::of(held, &all)
    };
    let suspects = held
        .uses()
        .filter(|(_, one)| by_descriptor(one) && !unlocked.has(one));
    for (process, one) in suspects {
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

/// Files of which the list of all locks says that they have none.
#[derive(Debug, Default)]
struct Unlocked {
    /// Mounts whose files are in that list by the number that stat(2) gives, too: those of tmpfs
    /// (`lock_get_status` of fs/locks.c, `shmem_getattr` of mm/shmem.c).
    mounts: HashSet<u64>,
    locked: HashSet<u64>,
}

impl Unlocked {
    /// Nothing is said of files by a list that is not understood, or not of all locks: in a pid
    /// namespace those are left out whose owner is not in it (`locks_show`).
    fn of(held: &Held, locks: &[u8]) -> Self {
        let lines = locks
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let locked: Option<HashSet<u64>> = lines.map(locked_inode).collect();
        let sees_all = namespace_of_own("pid").is_some_and(|own| own == FIRST_PID_NAMESPACE);
        let (Some(locked), true, Some(root)) = (locked, sees_all, held.all.first()) else {
            return Self::default();
        };
        let mounts = root.process.mounts().unwrap_or_default().into_iter();
        let mounts = mounts.filter(|mount| mount.fs_type == "tmpfs");
        Self {
            mounts: mounts.map(|mount| mount.id).collect(),
            locked,
        }
    }

    fn has(&self, one: &FileUse) -> bool {
        self.mounts.contains(&one.mount_id) && !self.locked.contains(&one.inode)
    }
}

/// The inode number in a line of all locks, which is the last part of `MAJOR:MINOR:INODE`.
fn locked_inode(line: &[u8]) -> Option<u64> {
    let fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let file = fields
        .skip(1)
        .find(|field| field.matches(':').count() == 2)?;
    file.rsplit(':').next()?.parse().ok()
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
    use crate::process::{Process, SoleMounts};
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
    fn only_what_may_be_locked_is_looked_at() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = |name| std::fs::File::create(dir.path().join(name)).unwrap();
        let (locked, free) = (file("locked"), file("free"));
        rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockShared).unwrap();
        let tree = [Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap()];
        let uses = tree[0].file_uses(&SoleMounts::default()).unwrap();
        let held = Held::new(&tree, &uses, crate::process::memfd_device().unwrap());
        let all = std::fs::read("/proc/locks").unwrap();
        let unlocked = Unlocked::of(&held, &all);
        let says = |file: &std::fs::File| {
            let fd = std::os::fd::AsRawFd::as_raw_fd(file).unsigned_abs();
            let one = uses.iter().find(|one| one.kind == UseKind::Fd(fd));
            unlocked.has(one.unwrap())
        };
        let sees_all = namespace_of_own("pid").unwrap() == FIRST_PID_NAMESPACE;
        assert_eq!((says(&locked), says(&free)), (false, sees_all));
        let odd = Unlocked::of(&held, b"1: FLOCK of a kind that is not known\n");
        assert!(uses.iter().all(|one| !odd.has(one)));
    }

    #[test]
    fn the_file_of_a_lock() {
        let inode = |line: &str| locked_inode(line.as_bytes());
        assert_eq!(
            inode("1: POSIX  ADVISORY  WRITE 707 08:01:9 0 EOF"),
            Some(9)
        );
        assert_eq!(
            inode("1: -> POSIX  ADVISORY  WRITE 708 08:01:12 0 0"),
            Some(12)
        );
        assert_eq!(inode("3: LEASE  ACTIVE    READ  5 <none>:0 0 EOF"), None);
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
            locked_inode(&text);
        }
    }
}

//! The locks that the kernel shows for a descriptor.

use crate::criu::locks::PosixLock;

/// Whether the text of a descriptor's fdinfo has the lock, alone or as part of a longer one: the
/// kernel joins neighbours (`posix_lock_inode`). Lines are as in /proc/locks (proc_locks(5)).
pub(super) fn holds(fdinfo: &[u8], lock: &PosixLock) -> bool {
    let text = String::from_utf8_lossy(fdinfo);
    text.lines()
        .filter_map(|line| line.strip_prefix("lock:\t"))
        .filter_map(parse)
        .any(|(kind, first, last)| {
            kind == lock.kind && first <= lock.start && last >= last_of(lock)
        })
}

/// The last byte.
fn last_of(lock: &PosixLock) -> i64 {
    match lock.bytes {
        0 => i64::MAX,
        bytes => lock.start.saturating_add(bytes).saturating_sub(1),
    }
}

/// Kind, first and last byte of `1: POSIX  ADVISORY  WRITE 7 00:1a:9 128 EOF`.
fn parse(line: &str) -> Option<(i16, i64, i64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next()? != "POSIX" {
        return None;
    }
    let kind = match fields.nth(1)? {
        "READ" => libc::F_RDLCK,
        "WRITE" => libc::F_WRLCK,
        _ => return None,
    };
    let first = fields.nth(2)?.parse().ok()?;
    let last = match fields.next()? {
        "EOF" => i64::MAX,
        last => last.parse().ok()?,
    };
    Some((i16::try_from(kind).ok()?, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_alone_or_within_another_of_its_kind() {
        let text = b"pos:\t0\nlock:\t1: POSIX  ADVISORY  WRITE 7 00:1a:9 100 149\n\
            lock:\t2: POSIX  ADVISORY  READ  7 00:1a:9 200 EOF\n\
            lock:\t3: FLOCK  ADVISORY  WRITE 7 00:1a:9 0 EOF\n\xff";
        let holds = |kind: i32, start, bytes| {
            let lock = PosixLock {
                pid: 7,
                fd: 3,
                kind: i16::try_from(kind).unwrap(),
                start,
                bytes,
            };
            holds(text, &lock)
        };
        assert!(holds(libc::F_WRLCK, 100, 50) && holds(libc::F_WRLCK, 110, 5));
        assert!(!holds(libc::F_WRLCK, 100, 51) && !holds(libc::F_WRLCK, 99, 2));
        assert!(!holds(libc::F_RDLCK, 100, 50) && !holds(libc::F_WRLCK, 0, 0));
        assert!(holds(libc::F_RDLCK, 200, 0) && holds(libc::F_RDLCK, 300, 5));
    }
}

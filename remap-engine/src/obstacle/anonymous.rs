//! Anonymous inodes: descriptors and mappings of things that are no files.
//!
//! CRIU has types for eventfd, epoll, inotify, fanotify, signalfd, timerfd and BPF maps, since 4.1
//! for pidfds, and hands all else to its plugins (`dump_one_file`). Of all that the kernel can show
//! only what is known to have no plugin is listed here: a driver's, such as that of a GPU, may be
//! gone by the time when CRIU looks, because the plugin has closed it.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;

use super::{Found, Held, Kind};
use crate::process::{ProcessError, UseKind};

const PREFIX: &[u8] = b"anon_inode:";

/// Names (after [`PREFIX`]) by which the kernel makes them, without what follows a number.
const NOT_DUMPED: &[&str] = &[
    "[io_uring]",
    "[perf_event]",
    "[userfaultfd]",
    "[landlock-ruleset]",
    "[fscontext]",
    "bpf-prog",
    "bpf_link",
    "btf",
    "seccomp notify",
    "kvm-vm",
    "kvm-vcpu",
];

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let pids = held.pids();
    for (process, one) in held.uses() {
        let Some(inode) = name(one.name.as_bytes()) else {
            continue;
        };
        if let Some(inode) = not_dumped(inode) {
            let inode = inode.to_owned();
            found.held(Kind::Anonymous { inode }, process, one);
        } else if inode == b"[pidfd]"
            && let UseKind::Fd(fd) = one.kind
            && let Some(fdinfo) = process.fdinfo(fd)?
            && let Some(pid) = pid_of(&fdinfo)
        {
            let inside = is_inside(pid, &pids);
            let by = Some(one.kind.clone());
            found.add(
                Kind::Pidfd { inside },
                process,
                by,
                format!("process {pid}"),
            );
        }
    }
    Ok(())
}

/// What kind of anonymous inode it is; `None` if it is another file.
fn name(link: &[u8]) -> Option<&[u8]> {
    // The path of a file begins with a slash, so that none can look like this.
    link.strip_prefix(PREFIX)
}

fn not_dumped(inode: &[u8]) -> Option<&'static str> {
    NOT_DUMPED.iter().copied().find(|known| {
        let rest = inode.strip_prefix(known.as_bytes());
        // kvm-vcpu:0
        rest.is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b':'))
    })
}

/// The process of a pidfd, in the reader's pid namespace: -1 if it has ended, 0 if it is not in
/// there (pidfd_open(2)).
fn pid_of(fdinfo: &[u8]) -> Option<i32> {
    let text = fdinfo.split(|byte| *byte == b'\n');
    let mut values = text.filter_map(|line| line.strip_prefix(b"Pid:"));
    std::str::from_utf8(values.next()?.trim_ascii())
        .ok()?
        .parse()
        .ok()
}

/// As `dump_one_pidfd` sees it.
fn is_inside(pid: i32, pids: &HashSet<i32>) -> bool {
    pid == -1 || pids.contains(&pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criu_dumps_is_not_listed() {
        for dumped in [
            "[eventfd]",
            "[eventpoll]",
            "inotify",
            "[fanotify]",
            "[signalfd]",
            "[timerfd]",
            "bpf-map",
            "[pidfd]",
        ] {
            assert_eq!(not_dumped(dumped.as_bytes()), None, "{dumped}");
        }
        assert_eq!(not_dumped(b"[io_uring]"), Some("[io_uring]"));
        assert_eq!(not_dumped(b"kvm-vcpu:12"), Some("kvm-vcpu"));
        assert_eq!(not_dumped(b"kvm-vcpu-stats:12"), None);
        assert_eq!(not_dumped(b"sync_file"), None);
    }

    #[test]
    fn a_file_of_such_a_name_is_a_file() {
        assert_eq!(name(b"/tmp/anon_inode:[io_uring]"), None);
        assert_eq!(name(b"anon_inode:[io_uring]"), Some(&b"[io_uring]"[..]));
    }

    #[test]
    fn the_process_of_a_pidfd() {
        let text = b"pos:\t0\nflags:\t02000002\nPid:\t-1\nNSpid:\t-1\n";
        assert_eq!(pid_of(text), Some(-1));
        assert_eq!(pid_of(b"NSpid:\t3\n\xff"), None);
        let tree = HashSet::from([7]);
        assert!(is_inside(7, &tree) && is_inside(-1, &tree));
        assert!(!is_inside(0, &tree) && !is_inside(8, &tree));
    }
}

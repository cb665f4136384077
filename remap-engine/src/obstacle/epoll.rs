//! Epolls that watch a file of which their process has no descriptor any more.

use std::ffi::OsString;
use std::io;

use super::{Found, Held, Kind};
use crate::process::{Process, ProcessError, UseKind};
use crate::sys::{self, EpollSlot};

/// The name of an epoll's descriptor.
const NAME: &str = "anon_inode:[eventpoll]";

/// An epoll watches open file descriptions, not descriptors (epoll(7)): one may be closed, and watched
/// as long as another process has it. CRIU dumps an epoll with the first process that has it, and
/// looks for what it watches among the descriptors of that process (`dump_one_eventpoll`,
/// `flush_eventpoll_dinfo_queue`).
pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let mut earlier: Vec<(i32, u32)> = Vec::new();
    for (process, one) in held.uses() {
        let UseKind::Fd(fd) = one.kind else { continue };
        if one.name != NAME {
            continue;
        }
        let epoll = (process.pid(), fd);
        let lost = lost(process, fd)?;
        let is_first = || {
            let is_other = |of: &(i32, u32)| matches!(sys::are_one_file(*of, epoll), Ok(false));
            earlier.iter().all(is_other)
        };
        if let Some(target) = lost
            && is_first()
        {
            let name = format!("{NAME}, which watches what was descriptor {target}");
            found.add(Kind::LostWatched, process, Some(one.kind.clone()), name);
        }
        earlier.push(epoll);
    }
    Ok(())
}

/// The number of a descriptor that the epoll watches, and that the process has under no number any
/// more; `None` if there is none, or if the kernel does not tell.
fn lost(process: &Process, epoll: u32) -> Result<Option<u32>, ProcessError> {
    let Some(fdinfo) = process.fdinfo(epoll)? else {
        return Ok(None);
    };
    let slots = slots(epoll, &fdinfo);
    if slots.is_empty() {
        return Ok(None);
    }
    let own: Vec<u32> = numbers(process.list("fd")?).collect();
    let is_lost = |slot: &EpollSlot| {
        let mut first = std::iter::once(slot.target).chain(own.iter().copied());
        let is_other = |fd| match sys::is_epoll_target(process.pid(), fd, *slot) {
            Ok(is_target) => !is_target,
            Err(error) => is_closed(&error),
        };
        first.all(is_other)
    };
    Ok(slots.into_iter().find(is_lost).map(|slot| slot.target))
}

/// `EBADF`: the process has no descriptor of that number.
fn is_closed(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

fn numbers(names: Vec<OsString>) -> impl Iterator<Item = u32> {
    names
        .into_iter()
        .filter_map(|name| name.to_str()?.parse().ok())
}

/// What the epoll watches, by its fdinfo (proc_pid_fdinfo(5)): lines with `tfd:` and the number of a
/// descriptor.
fn slots(epoll: u32, fdinfo: &[u8]) -> Vec<EpollSlot> {
    let mut slots: Vec<EpollSlot> = Vec::new();
    for line in fdinfo.split(|byte| *byte == b'\n') {
        let Some(rest) = line.strip_prefix(b"tfd:") else {
            continue;
        };
        let rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| !byte.is_ascii_digit());
        let number = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let number = std::str::from_utf8(number).unwrap_or_default().parse();
        let Ok(target) = number else { continue };
        let same = slots.iter().filter(|slot| slot.target == target).count();
        slots.push(EpollSlot {
            epoll,
            target,
            earlier: u32::try_from(same).unwrap_or(u32::MAX),
        });
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_file_is_lost_when_its_last_descriptor_here_is_closed() {
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let number = epoll.0.as_raw_fd().unsigned_abs();
        let lost = || lost(&own, number).unwrap();
        assert_eq!(lost(), None);
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let target = reader.as_raw_fd().unsigned_abs();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, 7);
        epoll.add(&reader, event).unwrap();
        assert_eq!(lost(), None);

        // Another process has it, and goes on having it.
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(reader.try_clone().unwrap())
            .spawn()
            .unwrap();
        let other = reader.try_clone().unwrap();
        drop(reader);
        assert_eq!(lost(), None);
        drop(other);
        assert_eq!(lost(), Some(target));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn of_one_number_there_may_be_several_files() {
        let text = b"pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: 7\n\
                     tfd:        5 events:       19 data: 8\ntfd: x\ntfd:       11 events: 1\n";
        let found: Vec<_> = slots(3, text)
            .iter()
            .map(|slot| (slot.epoll, slot.target, slot.earlier))
            .collect();
        assert_eq!(found, [(3, 5, 0), (3, 5, 1), (3, 11, 0)]);
    }
}

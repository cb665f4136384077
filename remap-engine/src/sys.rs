//! System calls for which the crates in use have no safe function.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `KCMP_FILES` of linux/kcmp.h.
const KCMP_FILES: libc::c_int = 2;

/// Whether two tasks, by their numbers in the caller's pid namespace, share one file table
/// (kcmp(2)).
///
/// # Errors
/// A task is gone (`ESRCH`), or the kernel does not tell.
pub(crate) fn share_file_table(one: i32, other: i32) -> io::Result<bool> {
    let unused: libc::c_ulong = 0;
    // SAFETY: kcmp(2) takes five numbers and no pointer, and reads only the kernel's own memory.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, unused, unused) };
    if order < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(order == 0)
}

/// `KCMP_FILE` and `KCMP_EPOLL_TFD`.
const KCMP_FILE: libc::c_int = 0;
const KCMP_EPOLL_TFD: libc::c_int = 7;

/// Whether two descriptors, each with the number of its process, are of one open file description
/// (kcmp(2), `KCMP_FILE`).
///
/// # Errors
/// One is gone (`EBADF`, `ESRCH`), or the kernel does not tell.
pub(crate) fn are_one_file(one: (i32, u32), other: (i32, u32)) -> io::Result<bool> {
    let (first, second) = (libc::c_ulong::from(one.1), libc::c_ulong::from(other.1));
    // SAFETY: kcmp(2) of this type takes five numbers and no pointer.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one.0, other.0, KCMP_FILE, first, second) };
    if order < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(order == 0)
}

/// One of the files that an epoll watches (`struct kcmp_epoll_slot` of linux/kcmp.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpollSlot {
    /// The descriptor of the epoll.
    pub(crate) epoll: u32,
    /// The number that the file was added by.
    pub(crate) target: u32,
    /// How many were added by the same number before it.
    pub(crate) earlier: u32,
}

/// Whether the descriptor `fd` of the process is the file that its epoll watches there (kcmp(2),
/// `KCMP_EPOLL_TFD`).
///
/// # Errors
/// The process has no such descriptor (`EBADF`), the epoll no such file (`ENOENT`), or the kernel
/// does not tell.
pub(crate) fn is_epoll_target(process: i32, fd: u32, slot: EpollSlot) -> io::Result<bool> {
    let fd = libc::c_ulong::from(fd);
    // SAFETY: the slot has the layout that kcmp(2) reads, and lives as long as the call.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            process,
            process,
            KCMP_EPOLL_TFD,
            fd,
            &raw const slot,
        )
    };
    if order < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(order == 0)
}

/// Asks for a resource limit of a process, which the kernel does not tell everybody (prlimit(2)).
///
/// # Errors
/// The process is gone (`ESRCH`), or this one may not ask (`EPERM`).
pub(crate) fn ask_for_limit(process: i32) -> io::Result<()> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: nothing is set, and `limit` is writable and has the type that is said.
    let result =
        unsafe { libc::prlimit64(process, libc::RLIMIT_CPU, std::ptr::null(), &raw mut limit) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `PTRACE_GETSIGMASK` and `PTRACE_SETSIGMASK` of linux/ptrace.h.
const PTRACE_GETSIGMASK: libc::c_uint = 0x420a;
const PTRACE_SETSIGMASK: libc::c_uint = 0x420b;

/// The signals that a traced and stopped task blocks (ptrace(2)).
///
/// # Errors
/// The task is not stopped, or not traced by this thread.
pub(crate) fn signal_mask(task: i32) -> io::Result<u64> {
    let mut mask = 0_u64;
    // SAFETY: the kernel writes as many bytes as are said to be at the address.
    let result = unsafe { libc::ptrace(PTRACE_GETSIGMASK, task, size_of::<u64>(), &raw mut mask) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(mask)
}

/// Has a traced and stopped task block these signals (ptrace(2)).
///
/// # Errors
/// As [`signal_mask`].
pub(crate) fn set_signal_mask(task: i32, mask: u64) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as are said to be at the address.
    let result =
        unsafe { libc::ptrace(PTRACE_SETSIGMASK, task, size_of::<u64>(), &raw const mask) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has the kernel begin to write so many bytes of a file, from `offset` on, to the disk, and does not
/// wait until they are there (sync_file_range(2), `SYNC_FILE_RANGE_WRITE`). What goes wrong with it
/// fsync(2) tells, too.
pub(crate) fn start_writeback(file: &File, offset: u64, bytes: u64) {
    let number = |number: u64| libc::off64_t::try_from(number).unwrap_or(libc::off64_t::MAX);
    let (offset, bytes) = (number(offset), number(bytes));
    // SAFETY: the descriptor is open as long as the call, which takes numbers and no pointer.
    let result = unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, bytes, libc::SYNC_FILE_RANGE_WRITE)
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        tracing::debug!(%error, "a file is not sent to the disk ahead");
    }
}

/// `SIOCUNIXFILE` of linux/un.h, since Linux 4.10.
const SIOCUNIXFILE: libc::Ioctl = 0x89e0;

/// The file of a Unix socket that is bound to one (`O_PATH`, open(2)), whatever its name is by now.
///
/// # Errors
/// It is bound to no file (`ENOENT`), or this process may not ask (`EPERM`, for lack of
/// `CAP_NET_ADMIN`).
pub(crate) fn file_of_socket(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the kernel does not look at the argument of this request.
    let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCUNIXFILE, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has opened it for this call, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_table_until_one_leaves_it() {
        let tid = || nix::unistd::gettid().as_raw();
        let main = tid();
        let other = || {
            let shared = share_file_table(main, tid()).unwrap();
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
            (shared, share_file_table(main, tid()).unwrap())
        };
        let seen = std::thread::scope(|scope| scope.spawn(other).join()).unwrap();
        assert_eq!(seen, (true, false));
        assert!(share_file_table(main, i32::MAX).is_err());
    }

    #[test]
    fn the_kernel_tells_files_and_what_an_epoll_watches_apart() {
        use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
        use std::os::fd::{AsFd, AsRawFd};

        let own = i32::try_from(std::process::id()).unwrap();
        let number = |fd: &dyn AsFd| fd.as_fd().as_raw_fd().unsigned_abs();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let again = reader.try_clone().unwrap();
        let one = (own, number(&reader));
        assert!(are_one_file(one, (own, number(&again))).unwrap());
        assert!(!are_one_file(one, (own, number(&writer))).unwrap());
        assert!(are_one_file(one, (own, u32::MAX)).is_err());

        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, 7);
        epoll.add(&reader, event).unwrap();
        let slot = EpollSlot {
            epoll: epoll.0.as_raw_fd().unsigned_abs(),
            target: number(&reader),
            earlier: 0,
        };
        let is_target = |fd, slot| is_epoll_target(own, fd, slot);
        assert!(is_target(number(&again), slot).unwrap());
        assert!(!is_target(number(&writer), slot).unwrap());
        let missing = is_target(number(&again), EpollSlot { earlier: 1, ..slot });
        assert_eq!(missing.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn the_own_limits_are_told() {
        ask_for_limit(i32::try_from(std::process::id()).unwrap()).unwrap();
        let gone = ask_for_limit(i32::MAX).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }
}

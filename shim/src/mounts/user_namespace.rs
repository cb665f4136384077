//! A user namespace that only says which ids are which, and mounts that heed it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    fcntl::OFlag,
    sys::wait::{WaitPidFlag, waitpid},
    unistd::{Pid, pipe2},
};

use super::id_map::IdMap;

/// A user namespace with these ids.
///
/// # Errors
/// The kernel does not make it, or not with these ids.
pub(super) fn with_ids(map: &IdMap) -> io::Result<OwnedFd> {
    // The child waits for the end of what it can read.
    let (its_end, end) = pipe2(OFlag::O_CLOEXEC)?;
    let child = child_in_one(its_end.as_fd(), end.as_fd())?;
    let namespace = (|| {
        let [users, groups] = map.lines();
        std::fs::write(format!("/proc/{child}/uid_map"), users)?;
        std::fs::write(format!("/proc/{child}/gid_map"), groups)?;
        File::open(format!("/proc/{child}/ns/user"))
    })();
    drop((its_end, end));
    // It ends without a signal, so nobody else waits for it (wait(2), __WCLONE).
    waitpid(child, Some(WaitPidFlag::__WCLONE))?;
    Ok(namespace?.into())
}

/// A process in a new user namespace, which ends as soon as this process has no `end` of the pipe
/// any more, be it because it has died.
fn child_in_one(its_end: BorrowedFd<'_>, end: BorrowedFd<'_>) -> io::Result<Pid> {
    // SAFETY: all zeros are a valid clone_args: no flags, no signal at the end, no pointers.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let (its_end, end) = (its_end.as_raw_fd(), end.as_raw_fd());
    // SAFETY: clone3(2) without CLONE_VM is as fork(2): the child has a copy of all memory, of which
    // other threads may have held locks. It only makes system calls on its own stack, and ends.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match pid {
        0 => {
            let mut byte = 0_u8;
            // SAFETY: close, read and _exit are async-signal-safe (signal-safety(7)); `byte` lives.
            unsafe {
                libc::close(end);
                libc::read(its_end, (&raw mut byte).cast(), 1);
                libc::_exit(0)
            }
        }
        pid => match i32::try_from(pid) {
            Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
            _ => Err(io::Error::last_os_error()),
        },
    }
}

/// Has the mount, which nobody uses yet, show the ids of `namespace` (mount_setattr(2),
/// MOUNT_ATTR_IDMAP).
///
/// # Errors
/// The kernel is too old (5.12), or the file system does not allow it.
pub(super) fn map_mount(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(namespace.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: the path is an empty string, and the attributes have the size that is said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_has_the_ids_and_nobody_is_left_in_it() {
        let ids = json!([{"containerID": 0, "hostID": 300_000, "size": 5}]);
        let config = json!({"linux": {"uidMappings": ids, "gidMappings": ids}});
        let map = IdMap::of_config(&config).unwrap();
        // Where nobody may make one, there is nothing to test.
        let Ok(namespace) = with_ids(&map) else {
            return;
        };
        let own = std::fs::read_link("/proc/self/ns/user").unwrap();
        let path = format!("/proc/self/fd/{}", namespace.as_raw_fd());
        let other = std::fs::read_link(path).unwrap();
        assert!(other.to_string_lossy().starts_with("user:["), "{other:?}");
        assert_ne!(own, other);
        let waited = waitpid(None, Some(WaitPidFlag::__WCLONE | WaitPidFlag::WNOHANG));
        assert_eq!(waited, Err(nix::errno::Errno::ECHILD));
    }
}

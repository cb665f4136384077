//! Locks of files.

use std::convert::Infallible;
use std::fs::{self, File};
use std::os::fd::AsRawFd;

use anyhow::{Result, bail, ensure};
use nix::errno::Errno;

use super::List;
use crate::channel;
use crate::file::{create, open, watch_absence};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("locks", named),
    ("locks-deleted", deleted),
    ("locks-mapped", mapped),
];

const NAMES: [&str; 3] = ["/dev/shm/flock", "/dev/shm/posix", "/dev/shm/ofd"];

fn named(_: &[String]) -> Result<Infallible> {
    locks(Role::lead()?)?.run()
}

/// Of files that both processes have open, and that have no name any more.
fn deleted(_: &[String]) -> Result<Infallible> {
    let mut role = locks(Role::lead()?)?;
    channel::wait_for_role(OTHER)?;
    for name in NAMES {
        fs::remove_file(name)?;
        watch_absence(role.watch(), name);
    }
    role.run()
}

/// Who looks for the locks.
const OTHER: &str = "01-other";

/// flock(2), POSIX locks, and those of open file descriptions, held and waited for in vain.
fn locks(mut role: Role) -> Result<Role> {
    for name in NAMES {
        let file = create(name, &[0; 1000])?;
        // It is not looked into: to close any descriptor of a file gives up its POSIX locks.
        match name {
            "/dev/shm/flock" => file.lock()?,
            "/dev/shm/posix" => {
                ensure!(lock(file, libc::F_SETLK, 100, 50)?, "it is taken");
            }
            _ => {
                ensure!(lock(file, libc::F_OFD_SETLK, 100, 50)?, "it is taken");
            }
        }
    }
    role.fork(OTHER, |mut role| {
        let [flock, posix, ofd] = [open(NAMES[0])?, open(NAMES[1])?, open(NAMES[2])?];
        role.check("the other's locks", move |_| {
            ensure!(flock.try_lock().is_err(), "flock is lost");
            ensure!(!lock(posix, libc::F_SETLK, 149, 1)?, "POSIX is lost");
            ensure!(!lock(ofd, libc::F_OFD_SETLK, 100, 1)?, "OFD is lost");
            // Beside them there is room.
            for (file, command) in [(posix, libc::F_SETLK), (ofd, libc::F_OFD_SETLK)] {
                ensure!(lock(file, command, 150, 1)?, "they have grown");
                unlock(file, command, 150, 1)?;
            }
            Ok(())
        });
        role.run()
    })?;
    Ok(role)
}

/// POSIX locks of a file that is mapped, held by each of two processes against the other.
fn mapped(arguments: &[String]) -> Result<Infallible> {
    let [path] = arguments else {
        bail!("one path, please");
    };
    let mut role = Role::lead()?;
    let file = create(path, &[0; 4096])?;
    let mapping = Mapping::shared(file, 4096)?;
    ensure!(lock(file, libc::F_SETLK, 100, 50)?, "it is taken");
    role.fork(OTHER, |mut role| {
        let file = open(path)?;
        let mapping = Mapping::shared(file, 4096)?;
        ensure!(lock(file, libc::F_SETLK, 200, 50)?, "it is taken");
        mapping.watch(role.watch(), "mapped", 4096);
        role.check("the first's lock", move |_| is_locked(file, 149));
        role.run()
    })?;
    channel::wait_for_role(OTHER)?;
    mapping.watch(role.watch(), "mapped", 4096);
    role.check("the other's lock", move |_| is_locked(file, 200));
    role.run()
}

/// A POSIX lock of the whole file.
pub(super) fn lock_whole(file: &File) -> Result<()> {
    ensure!(lock(file, libc::F_SETLK, 0, 0)?, "it is taken");
    Ok(())
}

/// Another process has a POSIX lock there.
pub(super) fn is_locked(file: &File, byte: i64) -> Result<()> {
    ensure!(!lock(file, libc::F_SETLK, byte, 1)?, "POSIX is lost");
    Ok(())
}

/// Whether the bytes could be locked.
fn lock(file: &File, command: i32, start: i64, length: i64) -> Result<bool> {
    change_lock(file, command, libc::F_WRLCK, start, length)
}

fn unlock(file: &File, command: i32, start: i64, length: i64) -> Result<()> {
    change_lock(file, command, libc::F_UNLCK, start, length)?;
    Ok(())
}

fn change_lock(file: &File, command: i32, kind: i32, start: i64, length: i64) -> Result<bool> {
    let lock = libc::flock {
        l_type: i16::try_from(kind)?,
        l_whence: 0,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    // SAFETY: these commands read such a structure.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) };
    match Errno::result(result) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

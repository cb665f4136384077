//! Locks of files.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::List;
use crate::file::{create, open};
use crate::role::Role;

pub(super) const LIST: List = &[("locks", locks)];

/// flock(2), POSIX locks, and those of open file descriptions, held and waited for in vain.
fn locks(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let names = ["/dev/shm/flock", "/dev/shm/posix", "/dev/shm/ofd"];
    for name in names {
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
    role.fork("01-other", move |mut role| {
        let [flock, posix, ofd] = [open(names[0])?, open(names[1])?, open(names[2])?];
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
    role.run()
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

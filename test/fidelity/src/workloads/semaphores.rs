//! POSIX semaphores: sem_open(3) makes one under a temporary name, maps it, links it to its real
//! name and unlinks the temporary one. So its creator maps a deleted name, and all others map the
//! live name of the same inode.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;

use super::List;
use crate::channel;
use crate::file::{Life, watch_list, watch_name};
use crate::role::Role;

pub(super) const LIST: List = &[
    ("sem-creator-first", creator_first),
    ("sem-peer-first", peer_first),
];

/// How many take part, and each posts once in a round.
const PARTNERS: u64 = 2;

const NAME: &str = "fidelity";

/// Where glibc has a semaphore of this name.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(format!("sem.{name}"))
}

/// A semaphore of sem_open(3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Named(*mut libc::sem_t);

impl Named {
    /// A new one, without a post.
    pub(super) fn create(name: &str) -> Result<Self> {
        let c_name = CString::new(format!("/{name}"))?;
        // SAFETY: a terminated string, and the two arguments that O_CREAT asks for.
        let semaphore =
            unsafe { libc::sem_open(c_name.as_ptr(), libc::O_CREAT | libc::O_EXCL, 0o600, 0) };
        Self::from(semaphore)
    }

    /// One that somebody else makes, when it is there.
    pub(super) fn open(name: &str) -> Result<Self> {
        let path = path(name);
        channel::wait_for(&path)?;
        // Its creator has a last step to do: the temporary name.
        while fs::metadata(&path)?.nlink() != 1 {
            sleep(Duration::from_millis(5));
        }
        let c_name = CString::new(format!("/{name}"))?;
        // SAFETY: a terminated string.
        let semaphore = unsafe { libc::sem_open(c_name.as_ptr(), 0) };
        Self::from(semaphore)
    }

    fn from(semaphore: *mut libc::sem_t) -> Result<Self> {
        ensure!(semaphore != libc::SEM_FAILED, "sem_open: {}", Errno::last());
        Ok(Self(semaphore))
    }

    pub(super) fn post(self) -> Result<()> {
        // SAFETY: it is never closed.
        Errno::result(unsafe { libc::sem_post(self.0) }).context("sem_post")?;
        Ok(())
    }

    /// Waits for a post, asleep, and takes it.
    pub(super) fn wait(self) -> Result<()> {
        loop {
            // SAFETY: it is never closed.
            match Errno::result(unsafe { libc::sem_wait(self.0) }) {
                Ok(_) => return Ok(()),
                // As a restore may do.
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("sem_wait"),
            }
        }
    }

    /// Takes a post, if there is one.
    pub(super) fn try_wait(self) -> Result<bool> {
        // SAFETY: it is never closed.
        match Errno::result(unsafe { libc::sem_trywait(self.0) }) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno).context("sem_trywait"),
        }
    }

    fn value(self) -> Result<u64> {
        let mut value = 0;
        // SAFETY: as above, and the value has a place.
        Errno::result(unsafe { libc::sem_getvalue(self.0, &raw mut value) })?;
        Ok(u64::try_from(value)?)
    }
}

/// Each posts once in a round, and each must see all posts.
fn take_part(role: &mut Role, semaphore: Named) {
    role.act(move |_| semaphore.post());
    role.check("the semaphore", move |round| {
        let (value, expected) = (semaphore.value()?, round * PARTNERS);
        if value != expected {
            bail!("its value is {value}, not {expected}: it is not shared any more");
        }
        Ok(())
    });
    watch_name(role.watch(), path(NAME), Life::Live);
    watch_list(role.watch(), "/dev/shm");
}

fn create(mut role: Role) -> Result<Infallible> {
    let semaphore = Named::create(NAME)?;
    take_part(&mut role, semaphore);
    role.run()
}

fn open(mut role: Role) -> Result<Infallible> {
    let semaphore = Named::open(NAME)?;
    take_part(&mut role, semaphore);
    role.run()
}

/// The parent, which CRIU dumps first, has the deleted name, and its child the live one.
fn creator_first(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    role.fork("01-peer", open)?;
    create(role)
}

/// The other way round.
fn peer_first(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    role.fork("01-creator", create)?;
    open(role)
}

//! POSIX semaphores: sem_open(3) makes one under a temporary name, maps it, links it to its real
//! name and unlinks the temporary one. So its creator maps a deleted name, and all others map the
//! live name of the same inode.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
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
const PATH: &str = "/dev/shm/sem.fidelity";

/// A semaphore of sem_open(3).
#[derive(Debug, Clone, Copy)]
struct Named(*mut libc::sem_t);

impl Named {
    fn create(name: &str, value: u32) -> Result<Self> {
        let c_name = CString::new(format!("/{name}"))?;
        // SAFETY: a terminated string, and the two arguments that O_CREAT asks for.
        let semaphore =
            unsafe { libc::sem_open(c_name.as_ptr(), libc::O_CREAT | libc::O_EXCL, 0o600, value) };
        Self::from(semaphore)
    }

    fn open(name: &str) -> Result<Self> {
        let c_name = CString::new(format!("/{name}"))?;
        // SAFETY: a terminated string.
        let semaphore = unsafe { libc::sem_open(c_name.as_ptr(), 0) };
        Self::from(semaphore)
    }

    fn from(semaphore: *mut libc::sem_t) -> Result<Self> {
        ensure!(semaphore != libc::SEM_FAILED, "sem_open: {}", Errno::last());
        Ok(Self(semaphore))
    }

    fn post(self) -> Result<()> {
        // SAFETY: it is never closed.
        Errno::result(unsafe { libc::sem_post(self.0) }).context("sem_post")?;
        Ok(())
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
    watch_name(role.watch(), PATH, Life::Live);
    watch_list(role.watch(), "/dev/shm");
}

fn create(mut role: Role) -> Result<Infallible> {
    let semaphore = Named::create(NAME, 0)?;
    take_part(&mut role, semaphore);
    role.run()
}

fn open(mut role: Role) -> Result<Infallible> {
    channel::wait_for(Path::new(PATH))?;
    // Its creator has a last step to do: the temporary name.
    while fs::metadata(PATH)?.nlink() != 1 {
        sleep(Duration::from_millis(5));
    }
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

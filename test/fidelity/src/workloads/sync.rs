//! What processes wait for in shared memory: raw futexes, robust mutexes.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::errno::Errno;

use super::List;
use crate::channel::wait_for;
use crate::file::{Life, create, open, watch_open};
use crate::memory::Mapping;
use crate::role::Role;

pub(super) const LIST: List = &[
    ("futex", futex),
    ("mutex-creator-first", mutex_creator_first),
    ("mutex-peer-first", mutex_peer_first),
    ("mutex-dead-owner", mutex_dead_owner),
];

const PATH: &str = "/dev/shm/locks";

/// A peer sleeps in futex(2) on a word, and wakes up for what the other writes there.
fn futex(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let file = create(PATH, &[0; 4096])?;
    let mapping = Mapping::shared(file, 4096)?;
    role.fork("01-sleeper", move |mut role| {
        // The mapping of a fork is the same; this one is opened by name.
        let mapping = Mapping::shared(open(PATH)?, 4096)?;
        std::thread::spawn(move || sleep_and_echo(mapping));
        mapping.watch_file(role.watch(), "locks", 4096);
        role.run()
    })?;
    mapping.watch_file(role.watch(), "locks", 4096);
    role.act(move |round| {
        mapping
            .half(0)
            .store(u32::try_from(round)?, Ordering::SeqCst);
        wake(mapping);
        Ok(())
    });
    role.check("who sleeps", move |round| {
        let expected = u32::try_from(round)?;
        for _ in 0..500 {
            if mapping.half(1).load(Ordering::SeqCst) == expected {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("is not woken up by another process");
    });
    role.run()
}

/// Waits for another value of the first half word than the second has, and writes it there.
fn sleep_and_echo(mapping: Mapping) {
    loop {
        let seen = mapping.half(1).load(Ordering::SeqCst);
        let address = mapping.half(0).as_ptr();
        // SAFETY: a word of the mapping, which stays for good.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                address,
                libc::FUTEX_WAIT,
                seen,
                std::ptr::null::<libc::timespec>(),
            );
        }
        let value = mapping.half(0).load(Ordering::SeqCst);
        mapping.half(1).store(value, Ordering::SeqCst);
    }
}

fn wake(mapping: Mapping) {
    let address = mapping.half(0).as_ptr();
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE, i32::MAX) };
}

/// A robust mutex in shared memory, as pthread_mutexattr_setrobust(3) has it.
#[derive(Debug, Clone, Copy)]
struct Mutex(*mut libc::pthread_mutex_t);

impl Mutex {
    fn at(mapping: Mapping) -> Self {
        Self(std::ptr::with_exposed_provenance_mut(mapping.address()))
    }

    fn init(self) -> Result<()> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: the attributes are initialised by the first call, and the mutex has a place of
        // its own, aligned, at the beginning of a mapping that stays.
        unsafe {
            check(libc::pthread_mutexattr_init(attributes.as_mut_ptr()))?;
            let attributes = attributes.as_mut_ptr();
            check(libc::pthread_mutexattr_setpshared(
                attributes,
                libc::PTHREAD_PROCESS_SHARED,
            ))?;
            check(libc::pthread_mutexattr_setrobust(
                attributes,
                libc::PTHREAD_MUTEX_ROBUST,
            ))?;
            check(libc::pthread_mutex_init(self.0, attributes))
        }
    }

    /// Whether it was taken; an error that it is not EBUSY.
    fn try_lock(self) -> Result<bool> {
        // SAFETY: it was initialised by whoever made the file, and stays.
        match unsafe { libc::pthread_mutex_trylock(self.0) } {
            0 => Ok(true),
            libc::EBUSY => Ok(false),
            error => Err(Errno::from_raw(error).into()),
        }
    }

    fn lock(self) -> Result<()> {
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutex_lock(self.0) })
    }

    fn unlock(self) -> Result<()> {
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutex_unlock(self.0) })
    }

    fn make_consistent(self) -> Result<()> {
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutex_consistent(self.0) })
    }
}

fn check(error: i32) -> Result<()> {
    if error == 0 {
        return Ok(());
    }
    Err(Errno::from_raw(error).into())
}

/// Makes the file with the mutex, under a name that nobody waits for.
fn make() -> Result<Mutex> {
    let file = create("/dev/shm/locks.new", &[0; 4096])?;
    let mutex = Mutex::at(Mapping::shared(file, 4096)?);
    mutex.init()?;
    std::fs::rename("/dev/shm/locks.new", PATH)?;
    Ok(mutex)
}

/// Holds the mutex across the migration, and has it still.
fn own(mut role: Role) -> Result<Infallible> {
    let mutex = make()?;
    mutex.lock()?;
    create("/dev/shm/locked", &[])?;
    role.act(move |_| {
        mutex.unlock()?;
        mutex.lock()
    });
    role.run()
}

/// Finds it taken.
fn try_it(mut role: Role) -> Result<Infallible> {
    wait_for("/dev/shm/locked".as_ref())?;
    let file = open(PATH)?;
    let mutex = Mutex::at(Mapping::shared(file, 4096)?);
    watch_open(role.watch(), "locks", file, Life::Live);
    role.check("the other's mutex", move |_| {
        ensure!(!mutex.try_lock()?, "it can be taken");
        Ok(())
    });
    role.run()
}

fn mutex_creator_first(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    role.fork("01-peer", try_it)?;
    own(role)
}

fn mutex_peer_first(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    role.fork("01-owner", own)?;
    try_it(role)
}

/// The owner dies after the migration: the next one must be told (EOWNERDEAD), which needs the list
/// of robust mutexes that a thread has registered with the kernel. Rounds: each has a new owner that
/// locks before, and is killed when the next round begins.
fn mutex_dead_owner(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let mutex = make()?;
    let mut owner = spawn_owner(mutex)?;
    role.act(move |_| {
        nix::sys::signal::kill(owner, nix::sys::signal::Signal::SIGKILL)?;
        nix::sys::wait::waitpid(owner, None)?;
        // SAFETY: as in `try_lock`.
        let said = unsafe { libc::pthread_mutex_lock(mutex.0) };
        ensure!(
            said == libc::EOWNERDEAD,
            "the owner's death is not known: {said}"
        );
        mutex.make_consistent()?;
        mutex.unlock()?;
        owner = spawn_owner(mutex)?;
        Ok(())
    });
    role.run()
}

/// A process that has the mutex and does nothing; it has it when this returns.
fn spawn_owner(mutex: Mutex) -> Result<nix::unistd::Pid> {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            let taken = mutex.lock();
            while taken.is_ok() {
                std::thread::sleep(Duration::from_secs(1));
            }
            std::process::exit(1)
        }
        nix::unistd::ForkResult::Parent { child } => {
            for _ in 0..1000 {
                if !mutex.try_lock()? {
                    return Ok(child);
                }
                mutex.unlock()?;
                std::thread::sleep(Duration::from_millis(5));
            }
            bail!("the owner does not lock")
        }
    }
}

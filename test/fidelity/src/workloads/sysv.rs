//! Objects of System V (sysvipc(7)).

use std::convert::Infallible;

use anyhow::{Result, ensure};
use nix::errno::Errno;

use super::List;
use crate::role::Role;

pub(super) const LIST: List = &[("sysv", sysv)];

/// Shared memory with and without a user, semaphores, a queue with messages, of System V.
fn sysv(_: &[String]) -> Result<Infallible> {
    #[repr(C)]
    struct Message {
        kind: libc::c_long,
        text: [u8; 16],
    }
    let mut role = Role::lead()?;
    // SAFETY: calls that take numbers only; what shmat returns is used within its size, below.
    let (segment, set, queue) = unsafe {
        let segment = Errno::result(libc::shmget(0xfeed, 8192, libc::IPC_CREAT | 0o600))?;
        let set = Errno::result(libc::semget(0xfeee, 3, libc::IPC_CREAT | 0o640))?;
        let queue = Errno::result(libc::msgget(0xfeef, libc::IPC_CREAT | 0o600))?;
        for number in 0..3 {
            Errno::result(libc::semctl(set, number, libc::SETVAL, number + 5))?;
        }
        (segment, set, queue)
    };
    // SAFETY: the kernel chooses the place.
    let attached = unsafe { libc::shmat(segment, std::ptr::null(), 0) };
    ensure!(attached.addr() != usize::MAX, "shmat: {}", Errno::last());
    let memory = attached.cast::<u64>();
    for word in 0..1024_u64 {
        // SAFETY: within the 8192 bytes.
        unsafe { memory.add(usize::try_from(word)?).write_volatile(word * 3) };
    }
    let send = move |kind: libc::c_long| {
        let message = Message {
            kind,
            text: [u8::try_from(kind)?; 16],
        };
        // SAFETY: a message and the size of its text.
        Errno::result(unsafe { libc::msgsnd(queue, (&raw const message).cast(), 16, 0) })?;
        Ok::<_, anyhow::Error>(())
    };
    send(7)?;
    send(3)?;
    let memory = memory.expose_provenance();
    role.check("the segment", move |_| {
        let memory = std::ptr::with_exposed_provenance::<u64>(memory);
        for word in 0..1024_u64 {
            // SAFETY: as above.
            let value = unsafe { memory.add(usize::try_from(word)?).read_volatile() };
            ensure!(value == word * 3, "word {word} is {value}");
        }
        // SAFETY: numbers only.
        let found = Errno::result(unsafe { libc::shmget(0xfeed, 0, 0) })?;
        ensure!(found == segment, "its id is {found}, not {segment}");
        Ok(())
    });
    role.check("the semaphores", move |_| {
        for number in 0..3 {
            // SAFETY: numbers only.
            let value = Errno::result(unsafe { libc::semctl(set, number, libc::GETVAL) })?;
            ensure!(value == number + 5, "number {number} is {value}");
        }
        Ok(())
    });
    role.check("the messages", move |_| {
        for kind in [7, 3] {
            let mut message = Message {
                kind: 0,
                text: [0; 16],
            };
            // SAFETY: room for a message of that size.
            let read =
                unsafe { libc::msgrcv(queue, (&raw mut message).cast(), 16, 0, libc::IPC_NOWAIT) };
            ensure!(read == 16, "there is none: {}", Errno::last());
            ensure!(message.kind == kind, "it is of kind {}", message.kind);
            ensure!(message.text == [u8::try_from(kind)?; 16], "other bytes");
            send(kind)?;
        }
        Ok(())
    });
    role.run()
}

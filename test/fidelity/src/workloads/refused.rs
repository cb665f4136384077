//! What nobody can checkpoint.

use std::convert::Infallible;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::List;
use crate::file::{Life, create, keep, watch_open};
use crate::role::Role;

pub(super) const LIST: List = &[
    ("message-queue", message_queue),
    ("secret-memory", secret_memory),
    ("tcp-listener", tcp_listener),
    ("foreign-text", foreign_text),
];

/// mq_open(3).
fn message_queue(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    // SAFETY: a terminated string, and the two arguments that O_CREAT asks for.
    let queue = unsafe {
        libc::mq_open(
            c"/fidelity".as_ptr(),
            libc::O_RDWR | libc::O_CREAT,
            0o600,
            std::ptr::null::<libc::mq_attr>(),
        )
    };
    Errno::result(queue).context("mq_open")?;
    // SAFETY: it was made above, and nobody else has it.
    let queue: &'static File = keep(File::from(unsafe { OwnedFd::from_raw_fd(queue) }));
    watch_open(role.watch(), "queue", queue, Life::Live);
    role.run()
}

/// memfd_secret(2), beside a file that could be carried.
fn secret_memory(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    // SAFETY: it takes flags only.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, 0) };
    let fd = i32::try_from(Errno::result(fd).context("memfd_secret")?)?;
    // SAFETY: it was made above, and nobody else has it.
    let secret: &'static File = keep(File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    let file = create("/dev/shm/file", b"beside")?;
    watch_open(role.watch(), "file", file, Life::Still);
    role.watch().fact("the secret", move || {
        Ok(format!("{}", secret.metadata()?.len()))
    });
    role.run()
}

/// A listener on the network.
fn tcp_listener(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let listener = TcpListener::bind("0.0.0.0:7078")?;
    role.watch().fact("the listener", move || {
        Ok(listener.local_addr()?.to_string())
    });
    role.run()
}

/// `foreign-text PATH`: holds a file open for reading that every host has of its own.
fn foreign_text(arguments: &[String]) -> Result<Infallible> {
    let [path] = arguments else {
        anyhow::bail!("which file?")
    };
    let mut role = Role::lead()?;
    let file: &'static File = keep(File::open(path)?);
    let path = path.clone();
    role.watch().fact("the text", move || {
        let mut bytes = vec![0; 100];
        let read = std::os::unix::fs::FileExt::read_at(file, &mut bytes, 0)?;
        bytes.truncate(read);
        Ok(format!(
            "{:?} {:?}",
            String::from_utf8_lossy(&bytes),
            fs::read_to_string(&path)?
        ))
    });
    role.run()
}

//! What processes talk through: pipes and sockets of the machine itself.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use anyhow::{Result, ensure};

use super::List;
use crate::file::{keep, pattern};
use crate::role::Role;

pub(super) const LIST: List = &[("pipes", pipes), ("unix-sockets", unix_sockets)];

/// A pipe with data in it between two processes, and one at its largest.
fn pipes(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let (reader, writer) = std::io::pipe()?;
    let (reader, writer) = (keep(reader), keep(writer));
    let large: &'static [u8] = keep(pattern("pipe", 40_000));
    { writer }.write_all(large)?;
    role.fork("01-reader", move |mut role| {
        role.check("what is in the pipe", move |_| {
            let mut found = vec![0; large.len()];
            { reader }.read_exact(&mut found)?;
            ensure!(found == large, "other bytes");
            { writer }.write_all(large)?;
            Ok(())
        });
        role.run()
    })?;
    role.watch().fact("its size", move || {
        // SAFETY: it takes no argument.
        let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
        Ok(size.to_string())
    });
    role.run()
}

/// Pairs, a bound listener with a connection, messages on their way, a descriptor among them.
fn unix_sockets(_: &[String]) -> Result<Infallible> {
    let mut role = Role::lead()?;
    let (one, other) = UnixStream::pair()?;
    { &one }.write_all(b"on its way")?;
    let (first, second) = UnixDatagram::pair()?;
    first.send(b"datagram 1")?;
    first.send(b"datagram 2")?;
    let listener = UnixListener::bind("/socket")?;
    let client = UnixStream::connect("/socket")?;
    let (server, _) = listener.accept()?;
    { &client }.write_all(b"request")?;
    role.check("the pair", move |_| {
        let mut bytes = [0; 10];
        { &other }.read_exact(&mut bytes)?;
        ensure!(&bytes == b"on its way", "{bytes:?}");
        { &one }.write_all(b"on its way")?;
        Ok(())
    });
    role.check("the datagrams", move |_| {
        for expected in [b"datagram 1", b"datagram 2"] {
            let mut bytes = [0; 100];
            let length = second.recv(&mut bytes)?;
            ensure!(bytes.get(..length) == Some(expected), "{bytes:?}");
            first.send(expected)?;
        }
        Ok(())
    });
    role.check("the connection", move |_| {
        let mut bytes = [0; 7];
        { &server }.read_exact(&mut bytes)?;
        ensure!(&bytes == b"request", "{bytes:?}");
        { &client }.write_all(b"request")?;
        Ok(())
    });
    role.check("the listener", move |_| {
        let client = UnixStream::connect("/socket")?;
        listener.accept()?;
        drop(client);
        Ok(())
    });
    role.run()
}

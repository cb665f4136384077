//! Sockets.
//!
//! What a socket is, only a descriptor of it tells: a duplicate is made of each, asked, and closed
//! again, as CRIU does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::FileType;
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};

use super::bound::{self, Bound};
use super::{Found, Held, Holding, Kind, ground, unix};
use crate::process::{FileUse, Process, ProcessError, UseKind, duplicate};

/// A socket of the container, by its inode.
#[derive(Debug)]
struct Socket {
    facts: Facts,
    /// The address of its peer, for messages.
    peer: Option<SocketAddr>,
    /// The file of a Unix socket.
    bound: Option<Bound>,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    family: AddressFamily,
    kind: SocketType,
    protocol: u32,
    /// It has a peer.
    connected: bool,
    /// It listens.
    listening: bool,
    /// There is something to be read or accepted.
    readable: bool,
}

pub(super) fn find(held: &Held, found: &mut Found) -> Result<(), ProcessError> {
    let mut sockets: HashMap<u64, Option<Socket>> = HashMap::new();
    for Holding { process, uses, .. } in held.living() {
        let mut pidfd = None;
        for one in uses.iter().filter(|one| is_socket(one)) {
            let UseKind::Fd(fd) = one.kind else {
                continue;
            };
            if sockets.contains_key(&one.inode) {
                continue;
            }
            let pidfd = match &mut pidfd {
                Some(pidfd) => pidfd,
                empty => empty.insert(process.pidfd()?),
            };
            // What cannot be asked is left to CRIU.
            let socket = duplicate(&*pidfd, fd).ok().and_then(|fd| ask(&fd).ok());
            sockets.insert(one.inode, socket);
        }
    }
    let answers = ground::kernel_answers_passcred();
    for (process, one) in held.uses().filter(|(_, one)| is_socket(one)) {
        if let Some(Some(socket)) = sockets.get(&one.inode) {
            add(socket, answers, process, one, found);
        }
    }
    let is_unix = |socket: &Option<Socket>| {
        let family = socket.as_ref().map(|socket| socket.facts.family);
        family == Some(AddressFamily::UNIX)
    };
    if sockets.values().any(is_unix) {
        unix::find(held, &sockets.keys().copied().collect(), found)?;
    }
    let bound = sockets.into_iter();
    let bound = bound.filter_map(|(inode, socket)| Some((inode, socket?.bound?)));
    bound::find(held, &bound.collect(), found)
}

pub(super) fn is_socket(one: &FileUse) -> bool {
    FileType::from_raw_mode(one.mode) == FileType::Socket && matches!(one.kind, UseKind::Fd(_))
}

fn ask(fd: &OwnedFd) -> rustix::io::Result<Socket> {
    let family = sockopt::socket_domain(fd)?;
    let protocol = sockopt::socket_protocol(fd)?;
    let kind = sockopt::socket_type(fd)?;
    let peer = rustix::net::getpeername(fd).ok().flatten();
    let is_connected = peer.is_some() && kind != SocketType::DGRAM;
    let is_unix = family == AddressFamily::UNIX;
    Ok(Socket {
        bound: is_unix.then(|| bound::ask(fd, is_connected)).flatten(),
        facts: Facts {
            family,
            kind,
            protocol: protocol.map_or(0, |protocol| protocol.as_raw().get()),
            connected: peer.is_some(),
            listening: sockopt::socket_acceptconn(fd)?,
            readable: is_readable(fd),
        },
        peer: peer.and_then(|peer| SocketAddr::try_from(peer).ok()),
    })
}

/// Whether there is something to be read or accepted. Does not wait.
fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let answered = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    let events = fds.first().and_then(PollFd::revents);
    answered && events.is_some_and(|events| events.contains(PollFlags::POLLIN))
}

fn add(socket: &Socket, answers: bool, process: &Process, one: &FileUse, found: &mut Found) {
    let mut name = crate::text::escape(&one.name);
    if let Some(peer) = socket.peer {
        name = format!("{name} to {peer}");
    }
    for kind in obstacles(socket.facts, answers) {
        found.add(kind, process, Some(one.kind.clone()), name.clone());
    }
}

/// What is in the way of one that is no Unix socket. `answers`: the kernel answers what CRIU before
/// 4.2 asks of every socket.
fn obstacles(socket: Facts, answers: bool) -> Vec<Kind> {
    let Facts {
        family, protocol, ..
    } = socket;
    match family {
        AddressFamily::UNIX | AddressFamily::NETLINK => return vec![],
        AddressFamily::INET | AddressFamily::INET6 | AddressFamily::PACKET => {}
        other => {
            let family = other.as_raw();
            return vec![Kind::SocketFamily { family }];
        }
    }
    let mut kinds = Vec::new();
    if !answers {
        kinds.push(Kind::SocketOptions);
    }
    let is_tcp = socket.kind == SocketType::STREAM && protocol == ipproto::TCP.as_raw().get();
    if family == AddressFamily::PACKET || socket.kind == SocketType::RAW {
        // Of any protocol.
    } else if !PROTOCOLS.contains(&protocol) {
        kinds.push(Kind::SocketProtocol { protocol });
    } else if is_tcp && socket.listening && socket.readable {
        kinds.push(Kind::PendingConnections);
    } else if is_tcp && socket.connected {
        kinds.push(Kind::TcpConnection);
    }
    kinds
}

/// IPPROTO_IP, TCP, UDP and UDPLITE (`can_dump_ipproto`).
const PROTOCOLS: [u32; 4] = [0, 6, 17, 136];

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    fn asked(fd: impl Into<OwnedFd>) -> Vec<Kind> {
        obstacles(ask(&fd.into()).unwrap().facts, true)
    }

    #[test]
    fn a_listener_is_fine_until_somebody_waits_and_a_connection_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let copy = || OwnedFd::from(listener.try_clone().unwrap());
        assert_eq!(asked(copy()), vec![]);
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(asked(copy()), vec![Kind::PendingConnections]);
        let (server, _) = listener.accept().unwrap();
        assert_eq!(asked(copy()), vec![]);
        assert_eq!(asked(client), vec![Kind::TcpConnection]);
        // The other end has been closed: still no end of this one.
        assert_eq!(asked(server), vec![Kind::TcpConnection]);
        assert_eq!(asked(UdpSocket::bind("127.0.0.1:0").unwrap()), vec![]);
    }

    #[test]
    fn families_and_protocols_that_criu_knows_are_fine() {
        let plain = Facts {
            family: AddressFamily::INET,
            kind: SocketType::STREAM,
            protocol: 6,
            connected: false,
            listening: false,
            readable: false,
        };
        assert_eq!(obstacles(plain, true), vec![]);
        assert_eq!(obstacles(plain, false), vec![Kind::SocketOptions]);
        let mptcp = Facts {
            protocol: 262,
            connected: true,
            ..plain
        };
        let protocol = Kind::SocketProtocol { protocol: 262 };
        assert_eq!(obstacles(mptcp, true), vec![protocol]);
        let raw = Facts {
            kind: SocketType::RAW,
            protocol: 89,
            ..plain
        };
        assert_eq!(obstacles(raw, true), vec![]);
        let connected = Facts {
            kind: SocketType::DGRAM,
            protocol: 17,
            connected: true,
            readable: true,
            ..plain
        };
        assert_eq!(obstacles(connected, true), vec![]);
        let vsock = Facts {
            family: AddressFamily::from_raw(40),
            ..plain
        };
        let family = Kind::SocketFamily { family: 40 };
        assert_eq!(obstacles(vsock, false), vec![family]);
        for family in [AddressFamily::UNIX, AddressFamily::NETLINK] {
            assert_eq!(obstacles(Facts { family, ..plain }, false), vec![]);
        }
    }
}

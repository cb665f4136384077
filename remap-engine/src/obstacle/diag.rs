//! The kernel's list of Unix sockets (sock_diag(7)), parsed as bytes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::network_namespace::inside;

/// A Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnixSocket {
    pub(super) inode: u64,
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`.
    pub(super) kind: u8,
    /// The inode of the other end; 0 if there is none, or none yet.
    pub(super) peer: u64,
    /// Its address, if it is bound.
    pub(super) name: Option<Vec<u8>>,
    /// Bytes, or connections, that wait to be received.
    pub(super) queued: u32,
    /// It has been connected, to whatever.
    pub(super) connected: bool,
    /// Both directions were shut down, as when the other end is closed.
    pub(super) shut_down: bool,
    /// Of a listener: those that wait to be accepted.
    pub(super) waiting: Vec<u64>,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_AND_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
/// `struct unix_diag_msg`, after the header.
const MESSAGE_BYTES: usize = 16;
const AF_UNIX: u8 = 1;
const UDIAG_SHOW_NAME_PEER_ICONS_RQLEN: u32 = 0x01 | 0x04 | 0x08 | 0x10;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_ICONS: u16 = 3;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
/// `TCP_ESTABLISHED`, which Unix sockets have as well.
const ESTABLISHED: u8 = 1;
/// `SHUTDOWN_MASK`.
const BOTH: u8 = 3;

/// Those of the caller's network namespace.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn of_own_namespace() -> io::Result<Vec<UnixSocket>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkSockDiag;
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    send(netlink.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut sockets = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let read = buffer.get(..count).unwrap_or_default();
        if count == 0 || parse(read, &mut sockets)? {
            return Ok(sockets);
        }
    }
}

/// Those of another one.
///
/// # Errors
/// It cannot be entered, or the kernel does not tell.
pub(super) fn of_namespace(namespace: &OwnedFd) -> io::Result<Vec<UnixSocket>> {
    inside(namespace.as_fd(), of_own_namespace)
}

/// `struct nlmsghdr` and `struct unix_diag_req`: all states, all that is shown.
fn request() -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = HEADER_BYTES + 24;
    bytes.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_AND_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([AF_UNIX, 0, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(UDIAG_SHOW_NAME_PEER_ICONS_RQLEN.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes
}

/// Reads the messages of one answer; returns whether it was the last one.
fn parse(mut bytes: &[u8], sockets: &mut Vec<UnixSocket>) -> io::Result<bool> {
    while let Some(length) = u32_at(bytes, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let message = bytes.get(HEADER_BYTES..length).ok_or_else(invalid)?;
        match u16_at(bytes, 4) {
            Some(NLMSG_DONE) => return Ok(true),
            Some(NLMSG_ERROR) => {
                let errno = u32_at(message, 0).unwrap_or_default().cast_signed();
                return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
            }
            Some(SOCK_DIAG_BY_FAMILY) => sockets.extend(parse_socket(message)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct unix_diag_msg` and its attributes.
fn parse_socket(message: &[u8]) -> Option<UnixSocket> {
    let mut one = UnixSocket {
        inode: u32_at(message, 4)?.into(),
        kind: *message.get(1)?,
        peer: 0,
        name: None,
        queued: 0,
        connected: message.get(2) == Some(&ESTABLISHED),
        shut_down: false,
        waiting: Vec::new(),
    };
    let mut rest = message.get(MESSAGE_BYTES..)?;
    while let (Some(length), Some(attribute)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        match attribute {
            UNIX_DIAG_NAME => one.name = Some(value.to_vec()),
            UNIX_DIAG_PEER => one.peer = u32_at(value, 0)?.into(),
            UNIX_DIAG_RQLEN => one.queued = u32_at(value, 0)?,
            UNIX_DIAG_SHUTDOWN => one.shut_down = value.first() == Some(&BOTH),
            UNIX_DIAG_ICONS => {
                let (inodes, _) = value.as_chunks();
                one.waiting = inodes
                    .iter()
                    .map(|inode| u32::from_ne_bytes(*inode).into())
                    .collect();
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(one)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    fn inode(fd: &impl AsFd) -> u64 {
        let fd = fd.as_fd().try_clone_to_owned().unwrap();
        std::fs::File::from(fd).metadata().unwrap().ino()
    }

    #[test]
    fn a_pair_shows_both_ends_and_what_waits() {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"abc").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let bound = UnixDatagram::bind(&path).unwrap();
        let found = of_own_namespace().unwrap();
        let find = |wanted| found.iter().find(|one| one.inode == wanted).unwrap();
        assert_eq!(find(inode(&one)).peer, inode(&other));
        assert_eq!(find(inode(&other)).peer, inode(&one));
        assert_eq!(find(inode(&one)).queued, 0);
        assert!(find(inode(&other)).queued > 0);
        let name = find(inode(&bound)).name.clone().unwrap();
        assert!(name.starts_with(path.as_os_str().as_encoded_bytes()));
        assert_eq!((find(inode(&bound)).kind, find(inode(&bound)).peer), (2, 0));
        assert!(find(inode(&one)).connected && !find(inode(&one)).shut_down);
        assert!(!find(inode(&bound)).connected);
    }

    #[test]
    fn who_waits_to_be_accepted_has_no_peer_yet_and_who_is_left_has_none_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let waiting = UnixStream::connect(dir.path().join("s")).unwrap();
        let (left, other) = UnixStream::pair().unwrap();
        drop(other);
        let found = of_own_namespace().unwrap();
        let find = |wanted| found.iter().find(|one| one.inode == wanted).unwrap();
        assert_eq!(find(inode(&listener)).waiting, [inode(&waiting)]);
        let waiting = find(inode(&waiting));
        assert!(waiting.connected && !waiting.shut_down && waiting.peer == 0);
        let left = find(inode(&left));
        assert!(left.connected && left.shut_down && left.peer == 0);
    }

    #[test]
    fn an_error_of_the_kernel_is_one() {
        let mut answer = vec![20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        answer.extend((-2i32).to_ne_bytes());
        let error = parse(&answer, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn odd_bytes_do_no_harm(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            length in any::<Option<u8>>(),
        ) {
            if let (Some(length), true) = (length, bytes.len() > 8) {
                bytes[..6].copy_from_slice(&[length, 0, 0, 0, 20, 0]);
            }
            let _ = parse(&bytes, &mut Vec::new());
        }
    }
}

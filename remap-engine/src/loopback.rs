//! The loopback device of a restored container.
//!
//! runc, and crun after it, have CRIU leave network namespaces empty that they have made themselves
//! ("Runc doesn't manage network devices and their configuration", `setEmptyNsMask` of its
//! checkpoint.go). When it creates a container runc takes the loopback device up; after a restore it
//! is down, without an address: nothing in the container reaches anything else there, and a TCP
//! connection between two of its processes cannot be restored.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::process::Process;

/// The loopback device is the first one of every network namespace (`loopback_net_init`,
/// `LOOPBACK_IFINDEX` of linux/net.h).
const INDEX: i32 = 1;

/// Numbers of rtnetlink(7) and netlink(7), and `IFF_UP` of netdevice(7).
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST_AND_ACK: u16 = 0x5;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;

/// `struct nlmsghdr` has so many bytes, and so has `struct ifinfomsg`.
const PART_BYTES: usize = 16;

/// Takes the loopback device up in the network namespace of the process `pid`; the kernel gives it
/// its addresses then. One that is up stays so.
///
/// # Errors
/// The process is gone, or the namespace cannot be entered, or the kernel says no.
pub(crate) fn up(pid: i32) -> io::Result<()> {
    let process = Process::pin(pid).map_err(|error| error.source)?;
    let namespace = process.open("ns/net").map_err(|error| error.source)?;
    // A namespace is entered by one thread, which is not used for anything else.
    std::thread::scope(|scope| scope.spawn(|| up_in(&namespace)).join())
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn up_in(namespace: &OwnedFd) -> io::Result<()> {
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    send(netlink.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut answer = [0; 256];
    let count = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    errno_of(answer.get(..count).unwrap_or_default())
}

/// `struct nlmsghdr` and `struct ifinfomsg`: a device with this number gets the flag.
fn request() -> Vec<u8> {
    let length = u32::try_from(2 * PART_BYTES).unwrap_or_default();
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend(RTM_NEWLINK.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_AND_ACK.to_ne_bytes());
    // The sequence number and the port, and of the device the family and the type.
    bytes.extend([0; 12]);
    bytes.extend(INDEX.to_ne_bytes());
    bytes.extend(IFF_UP.to_ne_bytes());
    bytes.extend(IFF_UP.to_ne_bytes());
    bytes
}

/// What `struct nlmsgerr` says; 0 is an acknowledgement.
fn errno_of(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok());
    let errno = answer
        .get(PART_BYTES..)
        .and_then(|bytes| bytes.first_chunk().copied())
        .map(i32::from_ne_bytes);
    match (kind.map(u16::from_ne_bytes), errno) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(errno)) => {
            Err(io::Error::from_raw_os_error(errno.saturating_neg()))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::process::{Command, Stdio};

    #[test]
    fn the_device_of_a_new_namespace_comes_up_and_stays_so() {
        let mut task = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It is in its namespace as soon as it says something.
        let said = task.stdout.as_mut().unwrap();
        io::Read::read_exact(said, &mut [0]).unwrap();
        let pid = i32::try_from(task.id()).unwrap();
        let process = Process::pin(pid).unwrap();
        let inside = |work: fn() -> io::Result<()>| {
            let namespace = process.open("ns/net").unwrap();
            let enter = move || {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
                work()
            };
            std::thread::spawn(enter).join().unwrap()
        };
        let reach = || UdpSocket::bind("0.0.0.0:0")?.connect("127.0.0.1:9");
        let error = inside(reach).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
        up(pid).unwrap();
        inside(reach).unwrap();
        up(pid).unwrap();
        inside(reach).unwrap();
        task.kill().unwrap();
        task.wait().unwrap();
        assert!(up(pid).is_err());
    }

    #[test]
    fn an_error_of_the_kernel_is_one() {
        let answer = |errno: i32| {
            let mut bytes = vec![36, 0, 0, 0, 2, 0];
            bytes.resize(PART_BYTES, 0);
            bytes.extend(errno.to_ne_bytes());
            bytes
        };
        assert!(errno_of(&answer(0)).is_ok());
        assert_eq!(errno_of(&answer(-1)).unwrap_err().raw_os_error(), Some(1));
        assert!(errno_of(&answer(0)[..18]).is_err());
        assert!(errno_of(b"").is_err());
    }
}

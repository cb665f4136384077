//! The network namespace that the runtime makes for a container, after a restore.
//!
//! runc, and crun after it, have CRIU leave such namespaces empty ("Runc doesn't manage network devices
//! and their configuration", `setEmptyNsMask` of its checkpoint.go). When it creates a container runc
//! takes the loopback device up and sets the sysctls that the bundle asks for (`standard_init_linux.go`),
//! which it does not do at a restore: the device is down then, without an address, so that nothing in
//! the container reaches anything else there, and a TCP connection between two of its processes cannot be
//! restored.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use serde_json::Value;

use crate::bundle::{Bundle, BundleError};
use crate::network_namespace::{NetworkNamespace, inside};
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

/// What a network namespace gets that the runtime makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NewNetwork {
    /// Names and values of sysctls that belong to it.
    sysctls: Vec<(String, String)>,
}

impl NewNetwork {
    /// That of a container; `None` if the runtime makes none for it.
    ///
    /// # Errors
    /// The bundle cannot be read.
    pub(crate) fn of(bundle: &Bundle) -> Result<Option<Self>, BundleError> {
        Ok(Self::in_config(&bundle.config()?))
    }

    fn in_config(config: &Value) -> Option<Self> {
        if NetworkNamespace::of(config) != NetworkNamespace::New {
            return None;
        }
        let sysctls = config.pointer("/linux/sysctl").and_then(Value::as_object);
        let of_network = sysctls.into_iter().flatten().filter_map(|(name, value)| {
            let is_its = (name.starts_with("net.") || name.starts_with("net/"))
                // No way out of there.
                && !name.contains("..");
            is_its.then(|| Some((name.clone(), value.as_str()?.to_owned())))?
        });
        Some(Self {
            sysctls: of_network.collect(),
        })
    }

    /// Sets up the network namespace of the process `pid`, as the runtime does when it creates the
    /// container. What cannot be done is logged: the container has then what it would have without this
    /// engine.
    pub(crate) fn set_up(&self, pid: i32) {
        let enter = || -> io::Result<()> {
            let process = Process::pin(pid).map_err(|error| error.source)?;
            let namespace = process.open("ns/net").map_err(|error| error.source)?;
            inside(namespace.as_fd(), || {
                for (name, value) in &self.sysctls {
                    if let Err(error) = std::fs::write(file_of(name), value) {
                        tracing::warn!(name, %error, "a sysctl of the container is not set");
                    }
                }
                take_loopback_up()
            })
        };
        if let Err(error) = enter() {
            tracing::warn!(%error, "the loopback device of the container stays down");
        }
    }
}

/// The file of a sysctl, whose name has dots or slashes; where the first separator is a slash, dots are
/// part of a name (sysctl(8)).
fn file_of(name: &str) -> String {
    let separator = name.find(['.', '/']).and_then(|at| name.get(at..=at));
    match separator {
        Some(".") => {
            let swap = |char| match char {
                '.' => '/',
                '/' => '.',
                char => char,
            };
            format!("/proc/sys/{}", name.chars().map(swap).collect::<String>())
        }
        _ => format!("/proc/sys/{name}"),
    }
}

/// Takes the loopback device of the caller's network namespace up; the kernel gives it its addresses
/// then. One that is up stays so.
///
/// # Errors
/// The kernel says no.
fn take_loopback_up() -> io::Result<()> {
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
    use serde_json::json;
    use std::net::UdpSocket;
    use std::process::{Command, Stdio};

    #[test]
    fn a_new_namespace_is_set_up_and_stays_so() {
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
        let namespace = process.open("ns/net").unwrap();
        let inside = |work: fn() -> io::Result<String>| inside(namespace.as_fd(), work);
        let reach = || {
            let reached = UdpSocket::bind("0.0.0.0:0")?.connect("127.0.0.1:9");
            reached.map(|()| String::new())
        };
        let error = inside(reach).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
        let network = NewNetwork {
            sysctls: ["net.ipv4.ip_default_ttl", "net.no.such"]
                .map(|name| (name.to_owned(), "77".to_owned()))
                .into(),
        };
        for _ in 0..2 {
            network.set_up(pid);
            inside(reach).unwrap();
            let ttl = || std::fs::read_to_string(file_of("net.ipv4.ip_default_ttl"));
            assert_eq!(inside(ttl).unwrap(), "77\n");
            assert_ne!(ttl().unwrap(), "77\n");
        }
        task.kill().unwrap();
        task.wait().unwrap();
    }

    #[test]
    fn of_a_new_one_the_sysctls_of_the_network_count() {
        let config = |namespace: Value| {
            json!({"linux": {
                "namespaces": [{"type": "pid"}, namespace],
                "sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "2", "net/a": "3",
                    "net/../kernel/shmmax": "4"},
            }})
        };
        let new = NewNetwork::in_config(&config(json!({"type": "network"}))).unwrap();
        let sysctls = [("net.ipv4.ip_forward", "1"), ("net/a", "3")];
        let sysctls = sysctls.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(new.sysctls, sysctls);
        let of_others = json!({"type": "network", "path": "/run/netns/x"});
        assert_eq!(NewNetwork::in_config(&config(of_others)), None);
    }

    #[test]
    fn names_of_sysctls_are_paths() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            (
                "net.ipv4.conf.eth0/1.forwarding",
                "net/ipv4/conf/eth0.1/forwarding",
            ),
            (
                "net/ipv4/conf/eth0.1/forwarding",
                "net/ipv4/conf/eth0.1/forwarding",
            ),
        ] {
            assert_eq!(file_of(name), format!("/proc/sys/{path}"));
        }
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

//! Takes back the network lock that CRIU has left.
//!
//! While CRIU dumps a container with a network namespace of its own, that namespace lets no packet
//! pass but CRIU's (`network_lock_internal`): either the chain `CRIU` of iptables and ip6tables,
//! to which INPUT and OUTPUT jump, or an nftables table `inet CRIU-…`, as the option
//! `network-lock` says. A CRIU that fails unlocks; one that is killed cannot, and its container
//! would be cut off for good.
//!
//! A restore locks the same way (runc always has it begin with an empty namespace), and does not
//! unlock when it fails (`restore_root_task`). Where the container was to come into a namespace that
//! was there before, such as a pod's, everybody in it would be cut off.
//!
//! In the caller's own network namespace CRIU locks single connections instead; those are not
//! touched, because nothing tells them from those of another dump.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::network_namespace::{NetworkNamespace, inside};
use crate::process::{Process, ProcessError};

/// The tools that read and change the rules of IPv4 and IPv6.
const IPTABLES: [[&str; 2]; 2] = [
    ["iptables-save", "iptables-restore"],
    ["ip6tables-save", "ip6tables-restore"],
];

/// The lock cannot be taken back: the container stays cut off.
#[derive(Debug, thiserror::Error)]
pub enum NetworkLockError {
    /// Its network namespace cannot be entered.
    #[error("cannot enter the network namespace of the container")]
    Enter(#[from] io::Error),
    /// The rules are still there.
    #[error(
        "CRIU's network lock stays; remove it in the container's network namespace ({how}) by hand"
    )]
    Stays {
        /// What shows it.
        how: &'static str,
    },
}

/// The network namespace of a container that is being dumped or restored. It stays reachable after
/// the container's end: others, such as those of the same pod, may live in it.
#[derive(Debug)]
pub struct LockedNetwork(OwnedFd);

impl LockedNetwork {
    /// That of the container with this init; `None` if it has none of its own.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of(init: &Process) -> Result<Option<Self>, ProcessError> {
        let own = Process::pin(rustix::process::getpid().as_raw_nonzero().get())?;
        if init.link("ns/net")? == own.link("ns/net")? {
            return Ok(None);
        }
        Ok(Some(Self(init.open("ns/net")?)))
    }

    /// That which a container with this bundle comes into; `None` if it is made for it (OCI runtime
    /// specification, config-linux.md, "Namespaces"). Without one of its own it comes into that of
    /// this process.
    ///
    /// # Errors
    /// The bundle cannot be read, or the namespace is gone.
    pub fn of_bundle(bundle: &Path) -> io::Result<Option<Self>> {
        let config = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
        match NetworkNamespace::of(&config) {
            NetworkNamespace::New => Ok(None),
            NetworkNamespace::At(path) => Ok(Some(Self(std::fs::File::open(path)?.into()))),
        }
    }

    /// Removes the lock, if there is one. Must be called when the CRIU that made it is gone.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// See [`NetworkLockError`].
    pub fn unlock(&self) -> Result<bool, NetworkLockError> {
        inside(self.0.as_fd(), unlock_here)
    }
}

fn unlock_here() -> Result<bool, NetworkLockError> {
    let mut found = false;
    for [save, restore] in IPTABLES {
        let rules = || run(save, &["-t", "filter"], b"");
        let steps = iptables_steps(&rules());
        found |= !steps.is_empty();
        for step in &steps {
            run(restore, &["-w", "--noflush"], step.as_bytes());
        }
        if !steps.is_empty() && !iptables_steps(&rules()).is_empty() {
            return Err(NetworkLockError::Stays { how: save });
        }
    }
    let tables = || nftables_tables(&run("nft", &["list", "tables"], b""));
    for table in tables() {
        found = true;
        run("nft", &["delete", "table", "inet", &table], b"");
    }
    if found && !tables().is_empty() {
        return Err(NetworkLockError::Stays {
            how: "nft list tables",
        });
    }
    Ok(found)
}

/// What undoes the lock in a listing of iptables-save: first the jumps go, then the chain, in two
/// transactions, as the nftables variant of iptables wants it. Empty if there is no lock.
fn iptables_steps(saved: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(saved);
    let jumps: String = text
        .lines()
        .filter(|line| matches!(*line, "-A INPUT -j CRIU" | "-A OUTPUT -j CRIU"))
        .map(|line| format!("{}\n", line.replacen("-A", "-D", 1)))
        .collect();
    let mut steps = Vec::new();
    if !jumps.is_empty() {
        steps.push(format!("*filter\n{jumps}COMMIT\n"));
    }
    if text.lines().any(|line| line.starts_with(":CRIU ")) {
        steps.push("*filter\n-F CRIU\n-X CRIU\nCOMMIT\n".to_owned());
    }
    steps
}

/// CRIU's tables in the output of `nft list tables`.
fn nftables_tables(listed: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(listed);
    text.lines()
        .filter_map(|line| line.strip_prefix("table inet "))
        .filter(|name| name.starts_with("CRIU-"))
        .map(str::to_owned)
        .collect()
}

/// Runs a tool and returns its output; nothing if it is not installed: CRIU has not used it then.
///
/// Its exit status is not looked at, since the process may reap all its children elsewhere, as a
/// shim does: the next listing tells what became of it.
fn run(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            tracing::debug!(program, %error, "not used");
            return output;
        }
    };
    let talked = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input))
        .and_then(|()| match child.stdout.take() {
            Some(mut stdout) => stdout.read_to_end(&mut output).map(drop),
            None => Ok(()),
        });
    if let Err(error) = talked.and(child.wait().map(drop)) {
        tracing::debug!(program, %error, "its end was not seen");
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &[u8] = b"*filter\n\
        :INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:CRIU - [0:0]\n\
        -A INPUT -j CRIU\n-A INPUT -p tcp -j ACCEPT\n-A OUTPUT -j CRIU\n\
        -A CRIU -m mark --mark 0xc114 -j ACCEPT\n-A CRIU -j DROP\nCOMMIT\n";

    #[test]
    fn only_the_lock_is_taken_out() {
        assert_eq!(
            iptables_steps(LOCKED),
            [
                "*filter\n-D INPUT -j CRIU\n-D OUTPUT -j CRIU\nCOMMIT\n",
                "*filter\n-F CRIU\n-X CRIU\nCOMMIT\n"
            ]
        );
        let open = b"*filter\n:INPUT DROP [0:0]\n:CRIU2 - [0:0]\n-A INPUT -j CRIU2\nCOMMIT\n";
        assert!(iptables_steps(open).is_empty() && iptables_steps(b"").is_empty());
    }

    #[test]
    fn only_criu_s_tables_count() {
        let listed = b"table inet filter\ntable inet CRIU-1f-2\ntable ip CRIU-9\n";
        assert_eq!(nftables_tables(listed), ["CRIU-1f-2"]);
    }

    #[test]
    fn a_tool_that_is_missing_says_nothing() {
        assert!(run("no-such-tool-of-iptables", &[], b"x").is_empty());
        assert_eq!(run("cat", &[], b"rules"), b"rules");
    }

    #[test]
    fn a_restore_locks_what_the_bundle_says() {
        let bundle = tempfile::tempdir().unwrap();
        let inode = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(path).unwrap().ino()
        };
        let namespace = |namespaces: &str| {
            let config = format!(r#"{{"linux":{{"namespaces":[{namespaces}]}}}}"#);
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            let network = LockedNetwork::of_bundle(bundle.path()).unwrap()?;
            Some(std::fs::File::from(network.0))
        };
        let same_as = |file: std::fs::File, path: &Path| {
            use std::os::unix::fs::MetadataExt;
            file.metadata().unwrap().ino() == inode(path)
        };
        assert!(namespace(r#"{"type":"mount"},{"type":"network"}"#).is_none());
        let own = namespace(r#"{"type":"mount"}"#).unwrap();
        assert!(same_as(own, Path::new("/proc/self/ns/net")));
        let path = bundle.path().join("config.json");
        let other = format!(r#"{{"type":"network","path":{path:?}}}"#);
        assert!(same_as(namespace(&other).unwrap(), &path));
        let gone = r#"{"linux":{"namespaces":[{"type":"network","path":"/no/such"}]}}"#;
        std::fs::write(&path, gone).unwrap();
        assert!(LockedNetwork::of_bundle(bundle.path()).is_err());
    }

    #[test]
    fn the_own_namespace_is_left_alone() {
        let own = Process::pin(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(LockedNetwork::of(&own).unwrap().is_none());
    }
}

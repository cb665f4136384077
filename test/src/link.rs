//! A network cable between two hosts.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::host::Host;

/// Each link has a network of its own, counted here; the hosts share no routes
/// with this machine, so any numbers do.
static NEXT: AtomicU8 = AtomicU8::new(1);

/// A veth pair with an end and an address in each of two hosts. The hosts find
/// each other under their names. It ends with either host.
#[derive(Debug, Clone)]
pub struct Link {
    ends: [End; 2],
    interface: String,
}

#[derive(Debug, Clone)]
struct End {
    host: String,
    address: Ipv4Addr,
}

impl Link {
    /// Joins `a` and `b`, which may have other links already.
    ///
    /// # Errors
    /// The veth pair cannot be made or configured.
    pub fn join(a: &Host, b: &Host) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let interface = format!("link{number}");
        // Made with an end in each host at once: this machine never sees it.
        let output = Command::new("nsenter")
            .arg(format!("--target={}", a.init_pid()))
            .args(["--net", "ip", "link", "add", &interface, "type", "veth"])
            .args([
                "peer",
                "name",
                &interface,
                "netns",
                &b.init_pid().to_string(),
            ])
            .output()
            .context("cannot run nsenter")?;
        ensure!(
            output.status.success(),
            "cannot join hosts {} and {}: {}",
            a.name(),
            b.name(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        let end = |host: &Host, last| End {
            host: host.name().to_owned(),
            address: Ipv4Addr::new(10, 77, number, last),
        };
        let link = Self {
            ends: [end(a, 1), end(b, 2)],
            interface,
        };
        link.configure(a, b)?;
        link.configure(b, a)?;
        Ok(link)
    }

    /// The name of the interface, the same in both hosts.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The address that `host` has on this link.
    ///
    /// # Errors
    /// The host is not at either end.
    pub fn address(&self, host: &Host) -> Result<Ipv4Addr> {
        match self.ends.iter().find(|end| end.host == host.name()) {
            Some(end) => Ok(end.address),
            None => {
                let [a, b] = &self.ends;
                bail!(
                    "host {} is not on the link of {} and {}",
                    host.name(),
                    a.host,
                    b.host
                )
            }
        }
    }

    /// Limits what `host` sends over this link, in megabits per second, or lifts
    /// the limit (tc-tbf(8)).
    ///
    /// # Errors
    /// The host is not on the link, or the kernel has no token bucket filter.
    pub fn limit_rate(&self, host: &Host, megabits: Option<u32>) -> Result<()> {
        self.address(host)?;
        let device = &self.interface;
        host.command("tc")
            .args(["qdisc", "del", "dev", device, "root"])
            .run()?;
        if let Some(megabits) = megabits {
            host.command("tc")
                .args(["qdisc", "add", "dev", device, "root", "tbf"])
                .args([
                    "rate",
                    &format!("{megabits}mbit"),
                    "burst",
                    "256kb",
                    "latency",
                    "100ms",
                ])
                .check()?;
        }
        Ok(())
    }

    fn configure(&self, host: &Host, peer: &Host) -> Result<()> {
        let device = &self.interface;
        let address = format!("{}/24", self.address(host)?);
        host.command("ip")
            .args(["addr", "add", &address, "dev", device])
            .check()?;
        host.command("ip")
            .args(["link", "set", device, "up"])
            .check()?;
        let name = format!("{} {}\n", self.address(peer)?, peer.name());
        host.command("tee")
            .args(["-a", "/etc/hosts"])
            .stdin(name)
            .check()?;
        Ok(())
    }
}

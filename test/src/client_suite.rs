//! containerd's own client integration tests, run in a host.
//!
//! They start a containerd of their own, pull their images, and are run as they are: what they
//! pull from is a registry in the host, under the names that they ask for.

mod outcome;

use std::time::Duration;

use anyhow::{Result, bail, ensure};

pub use outcome::{Outcome, Verdict};

use crate::ctr::Runtime;
use crate::exec::Background;
use crate::go::GoProgram;
use crate::host::Host;
use crate::tree::Tree;
use crate::{image, wait};

/// Everything of it in the host. Also all that the tests and their containerd keep.
const DIR: &str = "/srv/client-suite";

/// The hosts of the images (`integration/images/image_list.go`).
const REGISTRIES: [&str; 2] = ["ghcr.io", "registry.k8s.io"];

const REGISTRY: &str = include_str!("client_suite/registry.py");

/// Runs the tests, `$@`: in a mount namespace of their own, since they put their containerd's
/// images, which need a disk, into `/var/lib`.
const RUN: &str = "set -e
mkdir -p lib
mount --bind lib /var/lib
mount --bind hosts /etc/hosts
exec \"$@\"
";

/// `lsof -p PID`, which they ask for how many FIFOs there are among the files of their containerd.
const LSOF: &str = "#!/bin/sh
for file in /proc/$2/fd/*; do
    [ -p \"$file\" ] && echo FIFO
done
true
";

/// What the tests leave, whatever the shim: the state of their containerd, FIFOs, and the cgroups
/// and runc's directories of their namespaces, one of which has a long name. (A process or a mount
/// is never among it, and a cgroup in use cannot be removed.)
const CLEAR: &str =
    "rm -rf /run/containerd-test /run/nri /tmp/runc-test /tmp/containerd-config-* /tmp/[0-9]*
rmdir /run/containerd/runc/testing* /run/containerd/runc/nnn* 2>/dev/null
for cgroup in /sys/fs/cgroup/*/testing* /sys/fs/cgroup/*/nnn* /sys/fs/cgroup/*/containerd; do
    [ ! -d $cgroup ] || rmdir $cgroup
done
true";

const READY: Duration = Duration::from_secs(30);

/// Of one run; a single test has no limit of its own.
const LIMIT: Duration = Duration::from_secs(900);

/// How often a run may begin: the tests give their containerd only four seconds to start.
const BEGINNINGS: u32 = 5;

/// Which tests to run.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'n> {
    /// Those.
    Only(&'n [&'n str]),
    /// All others.
    AllBut(&'n [&'n str]),
}

/// The tests, ready in a host that has containerd 2.3.
#[derive(Debug)]
pub struct ClientSuite<'h> {
    host: &'h Host,
    _registry: Background,
}

impl<'h> ClientSuite<'h> {
    /// Builds what is not there yet and starts the registry, which is gone when this is dropped.
    ///
    /// # Errors
    /// A program or the image cannot be made, or the registry does not start.
    pub fn prepare(host: &'h Host, tree: &Tree) -> Result<Self> {
        for (program, name) in [
            (GoProgram::ClientTests23, "client.test"),
            (GoProgram::RuncFp23, "runc-fp"),
        ] {
            let installed = format!("{DIR}/{name}");
            host.install_file(&program.prepare()?, installed.as_ref(), 0o755)?;
        }
        image::client_suite(tree.root(), &host.path(format!("{DIR}/image.tar")))?;
        host.write_file(&format!("{DIR}/registry.py"), REGISTRY)?;
        host.write_file(&format!("{DIR}/run"), RUN)?;
        host.write_file(&format!("{DIR}/lsof"), LSOF)?;
        host.command("chmod")
            .args(["+x", &format!("{DIR}/lsof")])
            .check()?;
        let names = REGISTRIES.join(" ");
        host.write_file(
            &format!("{DIR}/hosts"),
            format!("127.0.0.1 localhost {} {names}\n", host.name()),
        )?;
        host.command("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=test"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .arg("-addext")
            .arg(format!(
                "subjectAltName={}",
                REGISTRIES.map(|name| format!("DNS:{name}")).join(",")
            ))
            .current_dir(DIR)
            .check()?;
        let registry = host
            .command("python3")
            .args(["registry.py", "443", "certificate.pem", "key.pem"])
            .arg("image.tar")
            .current_dir(DIR)
            .spawn()?;
        let is_ready = || Ok(registry.stdout_so_far() == b"ready\n" || !registry.is_running()?);
        let came = wait::until(READY, is_ready)?;
        if !came || !registry.is_running()? {
            bail!("the registry does not start: {:?}", registry.kill()?);
        }
        Ok(Self {
            host,
            _registry: registry,
        })
    }

    /// Runs all tests that `choice` lets, with the shim that `runtime` finds under the stock shim's
    /// name; what became of each. (Its fuzz targets are no tests, and do nothing without seeds.)
    ///
    /// # Errors
    /// The tests do not begin, or do not come to their end.
    pub fn run(&self, runtime: Runtime, choice: &Choice) -> Result<Vec<Outcome>> {
        let exactly = |names: &[&str]| format!("^({})$", names.join("|"));
        let chosen = match choice {
            Choice::Only(names) => ["-test.run".to_owned(), exactly(names)],
            Choice::AllBut(names) => ["-test.skip".to_owned(), format!("^Fuzz|{}", exactly(names))],
        };
        for _ in 0..BEGINNINGS {
            let output = self
                .host
                .command("unshare")
                .args(["--mount", "sh", "run", "./client.test"])
                // Two at a time where a test allows it: the machine has not more.
                .args(["-test.root", "-test.v", "-test.parallel=2"])
                .args(&chosen)
                .arg(format!("-test.timeout={}s", LIMIT.as_secs()))
                .env("PATH", format!("{DIR}:{}", runtime.lookup().path()))
                .env("SSL_CERT_FILE", format!("{DIR}/certificate.pem"))
                .current_dir(DIR)
                .timeout(LIMIT + READY)
                .run()?;
            self.host.shell(CLEAR)?;
            let text = output.text();
            if !text.contains("=== RUN") && output.error_text().contains("deadline exceeded") {
                continue;
            }
            self.host
                .write_file(&format!("{DIR}/{runtime}.log"), text.as_bytes())?;
            let outcomes = outcome::parse(&text);
            let last = || text.lines().last().unwrap_or_default().to_owned();
            ensure!(
                !output.timed_out && matches!(last().as_str(), "PASS" | "FAIL"),
                "the tests did not come to their end ({} of them did): {}, {}",
                outcomes.len(),
                last(),
                output.error_text().lines().last().unwrap_or_default()
            );
            return Ok(outcomes);
        }
        bail!("the containerd of the tests does not start in time")
    }
}

//! What a shim and its containers take of a host.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use remap_test::{Host, wait};

use crate::workload::LIMIT;

/// Counts, at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Descriptors of the shim.
    descriptors: u64,
    /// Its threads.
    threads: u64,
    /// Its children that have ended and were not reaped.
    zombies: u64,
    /// All its memory that is in RAM, in KiB.
    resident_kib: u64,
    /// Mounts of the host.
    mounts: u64,
    /// Directories of all hierarchies.
    cgroups: u64,
    /// Files, sockets and directories below `/run` and `/tmp`.
    files: u64,
    /// Listening and connected Unix sockets in the host.
    sockets: u64,
}

/// So much more memory an allocator may keep of requests of the usual size.
pub(super) const MORE_KIB: u64 = 2048;

impl Footprint {
    /// That of the shim `pid` on `host`.
    pub(super) fn of(host: &Host, pid: &str) -> Result<Self> {
        let line = format!(
            "ls /proc/{pid}/fd | wc -l
             ls /proc/{pid}/task | wc -l
             ps --ppid {pid} -o stat= | grep -c '^Z'
             awk '/^VmRSS/ {{ print $2 }}' /proc/{pid}/status
             wc -l </proc/self/mountinfo
             find /sys/fs/cgroup -type d | wc -l
             find /run /tmp | wc -l
             wc -l </proc/net/unix"
        );
        let text = host.shell(&format!("{line}; true"))?;
        let text = text.text();
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || {
            numbers
                .next()
                .context("a number is missing")?
                .map_err(Into::into)
        };
        let next = &mut next as &mut dyn FnMut() -> Result<u64>;
        Ok(Self {
            descriptors: next()?,
            threads: next()?,
            zombies: next()?,
            resident_kib: next()?,
            mounts: next()?,
            cgroups: next()?,
            files: next()?,
            sockets: next()?,
        })
    }

    /// Waits until the shim is back to this, but for so much more memory.
    pub(super) fn expect_again(&self, host: &Host, pid: &str, more_kib: u64) -> Result<Self> {
        let mut now = *self;
        let is_back = wait::until(LIMIT, || {
            now = Self::of(host, pid)?;
            Ok(now.is_within(self, more_kib))
        })?;
        ensure!(is_back, "before: {self}, and now: {now}");
        Ok(now)
    }

    fn is_within(&self, before: &Self, more_kib: u64) -> bool {
        self.descriptors <= before.descriptors
            // A pool's thread ends after a while (tokio: 10 s).
            && self.threads <= before.threads + 1
            && self.zombies == 0
            && self.resident_kib <= before.resident_kib + more_kib
            && self.mounts <= before.mounts
            && self.cgroups <= before.cgroups
            && self.files <= before.files
            && self.sockets <= before.sockets
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            descriptors,
            threads,
            zombies,
            resident_kib,
            mounts,
            cgroups,
            files,
            sockets,
        } = self;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {zombies} zombies, {resident_kib} KiB, \
             {mounts} mounts, {cgroups} cgroups, {files} files, {sockets} sockets"
        )
    }
}

/// Waits until no file is in the shim's bundles that one of their containers has left.
pub(super) fn expect_no_files(host: &Host, dir: &str, name: &str) -> Result<()> {
    let found = host
        .command("find")
        .args([dir, "-maxdepth", "2", "-name", name]);
    let found = found.check()?.text().into_owned();
    if !found.is_empty() {
        bail!("left in bundles: {found}");
    }
    Ok(())
}

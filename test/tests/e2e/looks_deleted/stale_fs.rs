//! The file system of `workloads/stale_fs.py`, on a host.

use anyhow::{Result, bail, ensure};
use remap_test::exec::Background;
use remap_test::{Host, wait};

use crate::fuse;
use crate::workload::LIMIT;

/// Gone when this is dropped.
#[derive(Debug)]
pub(super) struct StaleFs<'h> {
    host: &'h Host,
    dir: String,
    path: String,
    _server: Background,
}

impl<'h> StaleFs<'h> {
    /// Mounts it below the directory `dir` of the host.
    pub(super) fn mount(host: &'h Host, dir: &str) -> Result<Self> {
        let script = fuse::install(host, dir, "stale_fs.py")?;
        let path = format!("{dir}/mount");
        host.command("mkdir").args(["-p", &path]).check()?;
        let server = host
            .command("python3")
            .args([&script, &path, dir])
            .spawn()?;
        let said = || Ok(!server.stdout_so_far().is_empty() || !server.is_running()?);
        if !wait::until(LIMIT, said)? || server.stdout_so_far() != b"mounted\n" {
            bail!("it is not mounted: {:?}", server.kill()?);
        }
        Ok(Self {
            host,
            dir: dir.to_owned(),
            path,
            _server: server,
        })
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Makes all names invalid for the kernel.
    pub(super) fn forget(&self) -> Result<()> {
        let dir = &self.dir;
        self.host
            .shell(&format!("rm -f {dir}/forgotten; touch {dir}/forget"))?;
        let forgotten = self.host.path(format!("{dir}/forgotten"));
        ensure!(
            wait::until(LIMIT, || Ok(forgotten.exists()))?,
            "the names are not forgotten"
        );
        Ok(())
    }

    /// Lets nothing be answered until the guard is dropped.
    pub(super) fn silence(&self) -> Result<Silence<'h>> {
        let path = format!("{}/silent", self.dir);
        self.host.write_file(&path, "")?;
        let silence = Silence {
            host: self.host,
            path,
        };
        let silenced = self.host.path(format!("{}/silenced", self.dir));
        ensure!(
            wait::until(LIMIT, || Ok(silenced.exists()))?,
            "it goes on answering"
        );
        Ok(silence)
    }
}

impl Drop for StaleFs<'_> {
    fn drop(&mut self) {
        let unmount = self.host.command("umount").args(["--lazy", &self.path]);
        if let Err(error) = unmount.check() {
            eprintln!("{error:#}");
        }
    }
}

/// See [`StaleFs::silence`].
#[derive(Debug)]
pub(super) struct Silence<'h> {
    host: &'h Host,
    path: String,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.host.command("rm").arg(&self.path).check() {
            eprintln!("{error:#}");
        }
    }
}

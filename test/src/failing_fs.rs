//! A file system that fails where a test needs it to.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::exec::Background;
use crate::host::Host;
use crate::wait;

/// The file system itself.
const SERVER: &str = include_str!("failing_fs.py");

const SERVER_PATH: &str = "/srv/failing_fs.py";

const TIMEOUT: Duration = Duration::from_secs(20);

/// Where it fails.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// Such as `write`, `fsync`, `create`; see `failing_fs.py`.
    pub operation: &'a str,
    /// The name of the file, without its directory.
    pub name: &'a str,
    /// `EIO`, `ENOSPC`, …; or `hold:PATH`, and the operation waits while `PATH` exists.
    pub effect: &'a str,
    /// So many of these operations succeed before.
    pub skip: u32,
}

/// A file system in the memory of a process of `host`, gone when this is dropped.
#[derive(Debug)]
pub struct FailingFs<'h> {
    host: &'h Host,
    path: String,
    _server: Background,
}

impl<'h> FailingFs<'h> {
    /// Mounts it at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// It cannot be mounted; the message has what its server says.
    pub fn mount(host: &'h Host, path: &str, failures: &[Failure]) -> Result<Self> {
        host.write_file(SERVER_PATH, SERVER)?;
        host.command("mkdir").args(["-p", path]).check()?;
        let mut command = host.command("python3").arg(SERVER_PATH).arg(path);
        for one in failures {
            let skip = one.skip.to_string();
            command = command.args([one.operation, one.name, one.effect, &skip]);
        }
        let server = command.spawn()?;
        let mounted = wait::until(TIMEOUT, || {
            Ok(!server.stdout_so_far().is_empty() || !server.is_running()?)
        })?;
        if !mounted || server.stdout_so_far() != b"mounted\n" {
            bail!(
                "the failing file system is not mounted: {:?}",
                server.kill()?
            );
        }
        Ok(Self {
            host,
            path: path.to_owned(),
            _server: server,
        })
    }

    /// The path of its file `name` on the host.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

impl Drop for FailingFs<'_> {
    fn drop(&mut self) {
        let unmount = self.host.command("umount").args(["--lazy", &self.path]);
        if let Err(error) = unmount.check() {
            eprintln!("{error:#}");
        }
    }
}

//! A registry, for what is to be pulled.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::exec::Background;
use crate::host::Host;
use crate::wait;

const SERVER: &str = include_str!("registry.py");

const SERVER_PATH: &str = "/srv/registry.py";

const TIMEOUT: Duration = Duration::from_secs(20);

/// A registry on `lo` of a host, gone when this is dropped.
#[derive(Debug)]
pub struct Registry {
    _server: Background,
}

impl Registry {
    /// Starts one at `127.0.0.1:PORT` of `host`. It has the image of the archive `path` there, under
    /// every name and tag.
    ///
    /// # Errors
    /// It does not start; the message has what it says.
    pub fn start(host: &Host, path: &str, port: u16) -> Result<Self> {
        host.write_file(SERVER_PATH, SERVER)?;
        let command = host.command("python3").args([SERVER_PATH, path]);
        let server = command.arg(port.to_string()).spawn()?;
        let ready = wait::until(TIMEOUT, || {
            Ok(!server.stdout_so_far().is_empty() || !server.is_running()?)
        })?;
        if !ready || server.stdout_so_far() != b"ready\n" {
            bail!("the registry does not start: {:?}", server.kill()?);
        }
        Ok(Self { _server: server })
    }
}

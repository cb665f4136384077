//! A host's CRIU configuration file, for as long as a scenario needs it.

use anyhow::Result;
use remap_test::Host;

/// Where runc looks if the container does not say otherwise.
const PATH: &str = "/etc/criu/runc.conf";

/// The file that stands there until this is dropped.
#[derive(Debug)]
pub(crate) struct CriuConf<'h> {
    host: &'h Host,
}

impl<'h> CriuConf<'h> {
    /// Puts it there; a host has none of its own.
    pub(crate) fn write(host: &'h Host, text: &str) -> Result<Self> {
        host.write_file(PATH, text)?;
        Ok(Self { host })
    }
}

impl Drop for CriuConf<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.host.command("rm").arg(PATH).check() {
            eprintln!("{error:#}");
        }
    }
}

//! Clients of containerd that are programs in a host.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::exec::HostCommand;
use crate::go::GoProgram;
use crate::host::Host;

/// One of them, in the host where it was installed.
pub trait Cli<'h> {
    /// The program.
    const PROGRAM: GoProgram;

    /// The host.
    fn host(&self) -> &'h Host;

    /// Puts the program into the host; it is built if this machine does not have it yet.
    ///
    /// # Errors
    /// There is no Go here, or it fails.
    fn install(&self) -> Result<()> {
        let built = Self::PROGRAM.prepare()?;
        self.host()
            .install_file(&built, &path(Self::PROGRAM), 0o755)
    }

    /// Any of its commands.
    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> HostCommand<'h> {
        self.host().command(path(Self::PROGRAM)).args(args)
    }

    /// One of its commands that has to succeed; what it prints.
    ///
    /// # Errors
    /// It fails.
    fn check<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        Ok(self.command(args).check()?.text().into_owned())
    }
}

fn path(program: GoProgram) -> PathBuf {
    Path::new("/usr/local/bin").join(program.name())
}

//! `nerdctl` in a host.

use std::path::Path;

use anyhow::Result;

use crate::exec::{HostCommand, Output};
use crate::go::GoProgram;
use crate::host::Host;

const PROGRAM: &str = "/usr/local/bin/nerdctl";

/// What it makes for its networks and keeps: they are the host's, as containerd's own files are.
const CLEAN_UP: &str = r#"
ip link delete nerdctl0 2>/dev/null
for tmpfs in $(awk '$5 ~ "^/var/lib/nerdctl/" { print $5 }' /proc/self/mountinfo); do
    umount "$tmpfs"
done
rm -rf /var/lib/nerdctl /var/lib/cni /run/nerdctl
"#;

/// The `nerdctl` of a host, in containerd's namespace `default`.
#[derive(Debug, Clone, Copy)]
pub struct Nerdctl<'h> {
    host: &'h Host,
}

impl<'h> Nerdctl<'h> {
    /// Puts it there; it is built if this machine does not have it yet.
    ///
    /// # Errors
    /// There is no Go here, or it fails.
    pub fn install(host: &'h Host) -> Result<Self> {
        let built = GoProgram::Nerdctl.prepare()?;
        host.install_file(&built, Path::new(PROGRAM), 0o755)?;
        Ok(Self { host })
    }

    /// Any of its commands.
    pub fn command<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> HostCommand<'h> {
        self.host.command(PROGRAM).args(args)
    }

    /// One of its commands that has to succeed; what it prints.
    ///
    /// # Errors
    /// It fails.
    pub fn check<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        Ok(self.command(args).check()?.text().into_owned())
    }

    /// Runs a program in the container `name`, to its end.
    ///
    /// # Errors
    /// nerdctl cannot be started.
    pub fn exec(&self, name: &str, args: &[&str]) -> Result<Output> {
        self.command(["exec", name]).args(args).run()
    }

    /// What containerd calls the container `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn id(&self, name: &str) -> Result<String> {
        self.check(["container", "inspect", "--format", "{{.ID}}", name])
    }

    /// How the container `name` is: `running`, `exited`, …
    ///
    /// # Errors
    /// There is none.
    pub fn status(&self, name: &str) -> Result<String> {
        self.check([
            "container",
            "inspect",
            "--format",
            "{{.State.Status}}",
            name,
        ])
    }

    /// Removes what it keeps of its own. There must be no container of its any more.
    ///
    /// # Errors
    /// The host's shell fails.
    pub fn clean_up(&self) -> Result<()> {
        self.host.shell(CLEAN_UP)?;
        Ok(())
    }
}

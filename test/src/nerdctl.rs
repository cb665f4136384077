//! `nerdctl` in a host.

use anyhow::Result;

use crate::cli::Cli;
use crate::exec::Output;
use crate::go::GoProgram;
use crate::host::Host;

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

impl<'h> Cli<'h> for Nerdctl<'h> {
    const PROGRAM: GoProgram = GoProgram::Nerdctl;

    fn host(&self) -> &'h Host {
        self.host
    }
}

impl<'h> Nerdctl<'h> {
    /// Puts it there; it is built if this machine does not have it yet.
    ///
    /// # Errors
    /// There is no Go here, or it fails.
    pub fn install(host: &'h Host) -> Result<Self> {
        let nerdctl = Self { host };
        nerdctl.install()?;
        Ok(nerdctl)
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

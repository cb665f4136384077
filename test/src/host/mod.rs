//! A test host: a Debian of its own in namespaces of its own.

mod files;

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::exec::{HostCommand, Output};
use crate::flavour::Flavour;
use crate::go::GoProgram;
use crate::tree::Tree;
use crate::{cache, vm, wait};

/// What makes a host, keeps it and removes it; it is run by bash.
const SCRIPT: &str = include_str!("host.sh");

/// Removing a host that has written gigabytes takes a while.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running host. It ends, and everything made for it is removed, when this is
/// dropped and also when this process dies in whatever way: the script that keeps
/// the host notices the end of its standard input, and if the script is killed
/// too, the next start of any host removes what is left.
#[derive(Debug)]
pub struct Host {
    name: String,
    flavour: Flavour,
    init: u32,
    dir: PathBuf,
    /// None for the machine itself.
    keeper: Option<Child>,
    /// The host lives as long as this is open.
    lifeline: Option<ChildStdin>,
}

impl Host {
    /// Starts a host named `name` from an overlay of `tree`, with what its flavour has besides. Only `lo` is up, and
    /// nothing runs in it but its init: see [`crate::Containerd`] and
    /// [`crate::Link`].
    ///
    /// # Errors
    /// The host cannot be made: the message has what its script said. Nothing is
    /// left of it. Or a program of the flavour cannot be built.
    pub fn start(tree: &Tree, name: &str) -> Result<Self> {
        let programs = programs(tree.flavour())?;
        let script = script()?;
        let mut log = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut keeper = Command::new("bash")
            .arg(&script)
            .arg("run")
            .arg(cache::dir().join("hosts"))
            .arg(tree.root())
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().context("cannot share a temporary file")?)
            // Ctrl-C in the terminal ends this process; the script then clears up.
            .process_group(0)
            .spawn()
            .context("cannot run bash")?;
        let lifeline = keeper.stdin.take();
        let stdout = keeper
            .stdout
            .take()
            .context("the host's script has no output")?;

        let mut ready = String::new();
        BufReader::new(stdout)
            .read_line(&mut ready)
            .context("cannot read from the host's script")?;
        let Some((init, dir)) = parse_ready(&ready) else {
            drop(lifeline);
            wait::for_child(&keeper, STOP_TIMEOUT)?;
            let status = keeper.wait().context("cannot wait for the host's script")?;
            let mut said = String::new();
            log.seek(SeekFrom::Start(0))
                .context("cannot read the log of the host's script")?;
            log.read_to_string(&mut said)
                .context("cannot read the log of the host's script")?;
            bail!(
                "host {name} does not start (its script: {status}): {}",
                said.trim_end()
            );
        };
        let host = Self {
            name: name.to_owned(),
            flavour: tree.flavour(),
            init,
            dir,
            keeper: Some(keeper),
            lifeline,
        };
        for (program, installed) in programs {
            host.install_file(&program, &installed, 0o755)?;
        }
        Ok(host)
    }

    /// The machine itself, which must be a [`crate::Vm`] that ends with the tests: with the systemd
    /// and the cgroups that it has.
    ///
    /// # Errors
    /// It is no such machine.
    pub fn machine(flavour: Flavour) -> Result<Self> {
        ensure!(
            Path::new(vm::PORT).exists(),
            "this is no virtual machine of the tests: there is no {}",
            vm::PORT
        );
        // Its commands have no cgroup to join.
        fs::write("/run/host-cgroups", "").context("cannot write /run/host-cgroups")?;
        Ok(Self {
            name: "machine".to_owned(),
            flavour,
            init: 1,
            dir: PathBuf::from("/"),
            keeper: None,
            lifeline: None,
        })
    }

    /// Its name, which is its host name too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The suite it runs.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The pid of its first process, in this machine's numbers.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// Its directory on this machine; gone when it has ended.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command to be run in the host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> HostCommand<'_> {
        HostCommand::new(self, program.as_ref())
    }

    /// Runs a line of shell in the host; anything but exit code 0 is an error.
    ///
    /// # Errors
    /// The shell cannot be started, or fails ([`crate::CommandFailed`]).
    pub fn shell(&self, line: &str) -> Result<Output> {
        self.command("sh").args(["-c", line]).check()
    }

    /// Ends the host, and returns when nothing is left of it. Dropping does the
    /// same and only prints what goes wrong.
    ///
    /// # Errors
    /// Something of the host could not be removed.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(keeper) = &mut self.keeper else {
            return Ok(());
        };
        if self.lifeline.take().is_none() {
            return Ok(());
        }
        if !wait::for_child(keeper, STOP_TIMEOUT)? {
            keeper.kill().context("cannot kill the host's script")?;
        }
        let status = keeper.wait().context("cannot wait for the host's script")?;
        ensure!(
            !self.dir.exists(),
            "host {} is not wholly removed (its script: {status}): see {}; the next start of a \
             host removes it",
            self.name,
            self.dir.display()
        );
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

/// The flavour's own programs: where they are on this machine, and where they go, which comes first
/// in every `PATH` of a host.
fn programs(flavour: Flavour) -> Result<Vec<(PathBuf, PathBuf)>> {
    let place = |program: &GoProgram| {
        let installed = Path::new("/usr/local/bin").join(program.name());
        Ok((program.prepare()?, installed))
    };
    flavour.programs().iter().map(place).collect()
}

/// Writes the script where bash can read it, once per version of it.
fn script() -> Result<PathBuf> {
    use sha2::{Digest, Sha256};

    let dir = cache::dir();
    let digest = Sha256::digest(SCRIPT.as_bytes());
    let tag: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let path = dir.join(format!("host-{tag}.sh"));
    if !path.exists() {
        let write = || -> Result<()> {
            fs::create_dir_all(&dir)?;
            let file = tempfile::NamedTempFile::new_in(&dir)?;
            fs::write(file.path(), SCRIPT)?;
            file.persist(&path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

/// Takes `ready PID DIR` apart.
fn parse_ready(line: &str) -> Option<(u32, PathBuf)> {
    let (pid, dir) = line.trim_end().strip_prefix("ready ")?.split_once(' ')?;
    Some((pid.parse().ok()?, PathBuf::from(dir)))
}

#[cfg(test)]
mod tests {
    use super::parse_ready;
    use std::path::PathBuf;

    #[test]
    fn reads_the_ready_line() {
        assert_eq!(
            parse_ready("ready 12 /x y/a\n"),
            Some((12, PathBuf::from("/x y/a")))
        );
        assert_eq!(parse_ready(""), None);
        assert_eq!(parse_ready("ready x /a\n"), None);
    }
}

//! `ctr` in a host: typed where a test needs an answer, thin everywhere else.

mod checkpoint;
mod documents;
mod run;
mod task;
pub mod truth;

use std::fmt;

use anyhow::Result;

pub use run::Run;
pub use task::{Status, Task};

use crate::containerd::{Containerd, ShimLookup};
use crate::exec::HostCommand;
use crate::host::Host;

/// Which shim runs a container, and under which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// The stock shim.
    Stock,
    /// Ours under its own name, beside the stock one.
    Remap,
    /// Ours under the stock one's name.
    DropIn,
}

impl Runtime {
    /// All of them, the stock one first.
    pub const ALL: [Self; 3] = [Self::Stock, Self::Remap, Self::DropIn];

    /// What containerd calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock | Self::DropIn => "io.containerd.runc.v2",
            Self::Remap => "io.containerd.remap.v2",
        }
    }

    /// Whether it is this project's shim.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self != Self::Stock
    }

    /// How a host's containerd has to look shims up for it.
    #[must_use]
    pub fn lookup(self) -> ShimLookup {
        match self {
            Self::Stock | Self::Remap => ShimLookup::SideBySide,
            Self::DropIn => ShimLookup::DropIn,
        }
    }

    /// Makes the containerd of `host` ready for this runtime.
    ///
    /// # Errors
    /// See [`Containerd::ensure`].
    pub fn prepare(self, host: &Host) -> Result<()> {
        Containerd::of(host).ensure(self.lookup())
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stock => "stock",
            Self::Remap => "remap",
            Self::DropIn => "drop-in",
        })
    }
}

/// The `ctr` of a host, in one of containerd's namespaces.
#[derive(Debug, Clone)]
pub struct Ctr<'h> {
    host: &'h Host,
    namespace: String,
    /// Why checkpoints are not held against their plans, if they are not: [`truth`].
    left_out: Option<&'static str>,
}

impl<'h> Ctr<'h> {
    /// In containerd's namespace `default`.
    #[must_use]
    pub fn new(host: &'h Host) -> Self {
        Self::in_namespace(host, "default")
    }

    /// In another of containerd's namespaces, which need not exist.
    #[must_use]
    pub fn in_namespace(host: &'h Host, namespace: &str) -> Self {
        Self {
            host,
            namespace: namespace.to_owned(),
            left_out: None,
        }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &'h Host {
        self.host
    }

    /// The namespace of containerd's.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Any `ctr` command, for what has no method here.
    pub fn command<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> HostCommand<'h> {
        self.host
            .command("ctr")
            .args(["--namespace", &self.namespace])
            // From 2.2 on it warns of cgroup v1, among the container's own errors.
            .env("CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS", "1")
            .args(args)
    }

    /// A container of `image` to be run; see [`Run`].
    pub fn run(&self, runtime: Runtime, image: &str, id: &str) -> Run<'h> {
        Run::new(
            self.clone(),
            runtime,
            run::Root::Image(image.to_owned()),
            id,
        )
    }

    /// A container whose root is the host's directory `dir`; see [`Run`].
    pub fn run_directory(&self, runtime: Runtime, dir: &str, id: &str) -> Run<'h> {
        Run::new(
            self.clone(),
            runtime,
            run::Root::Directory(dir.to_owned()),
            id,
        )
    }

    /// Imports the images of the archive `path`, a file in the host.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn import_image(&self, path: &str) -> Result<()> {
        self.command(["image", "import", path]).check()?;
        Ok(())
    }

    /// The names of all images.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn images(&self) -> Result<Vec<String>> {
        let output = self.command(["image", "ls", "-q"]).check()?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }

    /// Forgets the image `name`.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn remove_image(&self, name: &str) -> Result<()> {
        self.command(["image", "rm", "--sync", name]).check()?;
        Ok(())
    }

    /// The ids of all containers.
    ///
    /// # Errors
    /// `ctr` fails.
    pub fn containers(&self) -> Result<Vec<String>> {
        let output = self.command(["container", "ls", "-q"]).check()?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }

    /// Removes the container `id` whatever state it or its task is in, and also if
    /// there is none.
    ///
    /// # Errors
    /// It is still there afterwards.
    pub fn remove(&self, id: &str) -> Result<()> {
        // Each of these fails in some state; whether it worked is asked at the end.
        self.command(["task", "resume", id]).run()?;
        self.command(["task", "kill", "--all", "--signal", "SIGKILL", id])
            .run()?;
        self.command(["task", "delete", "--force", id]).run()?;
        if self.containers()?.iter().any(|known| known == id) {
            self.command(["container", "delete", id]).check()?;
        }
        Ok(())
    }

    /// Removes every container of the namespace.
    ///
    /// # Errors
    /// One of them is still there afterwards.
    pub fn remove_all(&self) -> Result<()> {
        for id in self.containers()? {
            self.remove(&id)?;
        }
        Ok(())
    }
}

//! Programs of containerd's world in versions that no flavour has, built once per machine from Go's
//! module proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::cache;

/// What can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoProgram {
    /// runc 1.2.
    Runc12,
    /// runc 1.4.
    Runc14,
    /// The stock shim of containerd 2.3, the first with a `BootstrapParams` at standard input.
    Shim23,
    /// Prometheus' exporter of a machine's figures.
    NodeExporter,
}

impl GoProgram {
    fn module(self) -> &'static str {
        match self {
            Self::Runc12 | Self::Runc14 => "github.com/opencontainers/runc",
            Self::Shim23 => "github.com/containerd/containerd/v2",
            Self::NodeExporter => "github.com/prometheus/node_exporter",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Runc12 | Self::Runc14 | Self::NodeExporter => self.module(),
            Self::Shim23 => "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        }
    }

    /// Its exact version.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Runc12 => "1.2.8",
            Self::Runc14 => "1.4.4",
            Self::Shim23 => "2.3.4",
            Self::NodeExporter => "1.12.1",
        }
    }

    /// The program on this machine, linked statically, so that it runs in every host; built now
    /// (about a minute) unless an earlier run has done so. `None` if there is no Go here.
    ///
    /// # Errors
    /// The cache cannot be written, or Go fails.
    pub fn prepare(self) -> Result<Option<PathBuf>> {
        if Command::new("go").arg("version").output().is_err() {
            return Ok(None);
        }
        let dir = cache::dir().join("go");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let name = self.package().rsplit('/').next().unwrap_or_default();
        let program = dir.join(format!("{name}-{}", self.version()));
        if !program.exists() {
            let lock = dir.join("lock");
            let file = fs::File::create(&lock).context("cannot make the lock of Go's programs")?;
            let _lock = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| errno)
                .context("cannot lock Go's programs")?;
            if !program.exists() {
                self.build(&program)?;
            }
        }
        Ok(Some(program))
    }

    /// Builds beside `program` and renames. The program is a tool of a module of our own, since
    /// `go install` refuses modules with `replace`, as runc has one.
    fn build(self, program: &Path) -> Result<()> {
        eprintln!("building {} (once per machine)", program.display());
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let module = format!(
            "module remap.test/go\n\nrequire {} v{}\n\ntool {}\n",
            self.module(),
            self.version(),
            self.package()
        );
        fs::write(dir.path().join("go.mod"), module).context("cannot write go.mod")?;
        let partial = program.with_extension("partial");
        let version = format!("-extldflags -static -X main.version={}", self.version());
        let partial_name = partial.as_os_str();
        go(dir.path(), &["mod".as_ref(), "tidy".as_ref()])?;
        go(
            dir.path(),
            &[
                "build".as_ref(),
                "-tags=netgo,osusergo".as_ref(),
                "-ldflags".as_ref(),
                version.as_ref(),
                "-o".as_ref(),
                partial_name,
                self.package().as_ref(),
            ],
        )?;
        fs::rename(&partial, program)
            .with_context(|| format!("cannot rename {}", partial.display()))
    }
}

fn go(dir: &Path, args: &[&std::ffi::OsStr]) -> Result<()> {
    let output = Command::new("go")
        .args(args)
        .current_dir(dir)
        .env("GOFLAGS", "-mod=mod")
        .output()
        .context("cannot run go")?;
    ensure!(
        output.status.success(),
        "go {args:?} fails: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

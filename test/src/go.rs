//! Programs of containerd's world in versions that no Debian suite has, built once per machine from
//! Go's module proxy.

use std::ffi::OsStr;
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
    /// containerd 2.3, the first that gives a shim's start a `BootstrapParams` at standard input.
    Containerd23,
    /// Its `ctr`.
    Ctr23,
    /// Its stock shim.
    Shim23,
    /// Prometheus' exporter of a machine's figures.
    NodeExporter,
    /// Its client's integration tests: a program that `go test -c` makes.
    ClientTests23,
    /// A runc that fails where they want it to.
    RuncFp23,
    /// nerdctl 2.3.
    Nerdctl,
    /// crictl, of Kubernetes 1.37.
    Crictl,
}

/// nerdctl's own tests use a module of which only its `replace` says where it is, and so does one file
/// that is built into the program. This stands for the module: what the file wants of it is Go's own.
const NERDCTL_TEST_MODULE: [(&str, &str); 2] = [
    (
        "tigron/go.mod",
        "module github.com/containerd/nerdctl/mod/tigron\n",
    ),
    (
        "tigron/tig/tig.go",
        "package tig\n\nimport \"testing\"\n\ntype T = testing.TB\n",
    ),
];

impl GoProgram {
    fn module(self) -> &'static str {
        match self {
            Self::Runc12 | Self::Runc14 => "github.com/opencontainers/runc",
            Self::NodeExporter => "github.com/prometheus/node_exporter",
            Self::Containerd23
            | Self::Ctr23
            | Self::Shim23
            | Self::ClientTests23
            | Self::RuncFp23 => "github.com/containerd/containerd/v2",
            Self::Nerdctl => "github.com/containerd/nerdctl/v2",
            Self::Crictl => "sigs.k8s.io/cri-tools",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Runc12 | Self::Runc14 | Self::NodeExporter => self.module(),
            Self::Containerd23 => "github.com/containerd/containerd/v2/cmd/containerd",
            Self::Ctr23 => "github.com/containerd/containerd/v2/cmd/ctr",
            Self::Shim23 => "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            Self::ClientTests23 => "github.com/containerd/containerd/v2/integration/client",
            Self::RuncFp23 => {
                "github.com/containerd/containerd/v2/integration/failpoint/cmd/runc-fp"
            }
            Self::Nerdctl => "github.com/containerd/nerdctl/v2/cmd/nerdctl",
            Self::Crictl => "sigs.k8s.io/cri-tools/cmd/crictl",
        }
    }

    /// Its exact version.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Runc12 => "1.2.8",
            Self::Runc14 => "1.4.4",
            Self::NodeExporter => "1.12.1",
            Self::Containerd23
            | Self::Ctr23
            | Self::Shim23
            | Self::ClientTests23
            | Self::RuncFp23 => "2.3.4",
            Self::Nerdctl => "2.3.5",
            Self::Crictl => "1.37.0",
        }
    }

    /// Whether it has parts in C (`CGO_ENABLED`). Those of containerd that have some are left out.
    fn cgo(self) -> &'static str {
        match self {
            Self::Runc12 | Self::Runc14 | Self::Nerdctl | Self::Crictl => "1",
            Self::Containerd23
            | Self::Ctr23
            | Self::Shim23
            | Self::ClientTests23
            | Self::RuncFp23
            | Self::NodeExporter => "0",
        }
    }

    /// What it is called where it is installed.
    pub(crate) fn name(self) -> &'static str {
        self.package().rsplit('/').next().unwrap_or_default()
    }

    /// The program on this machine, linked statically, so that it runs in every host; built now
    /// (about a minute) unless an earlier run has done so.
    ///
    /// # Errors
    /// The cache cannot be written, there is no Go on this machine, or it fails.
    pub fn prepare(self) -> Result<PathBuf> {
        let dir = cache::dir().join("go");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let program = dir.join(format!("{}-{}", self.name(), self.version()));
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
        Ok(program)
    }

    /// Builds beside `program` and renames. The program is a tool of a module of our own, since
    /// `go install` refuses modules with `replace`, as runc has one.
    fn build(self, program: &Path) -> Result<()> {
        eprintln!("building {} (once per machine)", program.display());
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let mut module = format!(
            "module remap.test/go\n\nrequire {} v{}\n\ntool {}\n",
            self.module(),
            self.version(),
            self.package()
        );
        let mut tidy = vec!["mod".as_ref(), "tidy".as_ref()];
        if self == Self::Nerdctl {
            for (name, contents) in NERDCTL_TEST_MODULE {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap_or(dir.path()))
                    .and_then(|()| fs::write(&path, contents))
                    .with_context(|| format!("cannot write {name}"))?;
            }
            // From Go 1.17 on modules that only others need are not looked at; some cannot be had.
            // And the rest of the test module is missed, but not by the program.
            module += "\ngo 1.24\n\nreplace github.com/containerd/nerdctl/mod/tigron => ./tigron\n";
            tidy.push("-e".as_ref());
        }
        fs::write(dir.path().join("go.mod"), module).context("cannot write go.mod")?;
        let partial = program.with_extension("partial");
        let version = format!(
            "-s -w -extldflags -static -X main.version={}",
            self.version()
        );
        let partial_name = partial.as_os_str();
        self.go(dir.path(), &tidy)?;
        let command: &[&OsStr] = match self {
            Self::ClientTests23 => &["test".as_ref(), "-c".as_ref()],
            _ => &["build".as_ref()],
        };
        let args = [
            command,
            &[
                "-tags=netgo,osusergo".as_ref(),
                "-ldflags".as_ref(),
                version.as_ref(),
                "-o".as_ref(),
                partial_name,
                self.package().as_ref(),
            ],
        ];
        self.go(dir.path(), &args.concat())?;
        fs::rename(&partial, program)
            .with_context(|| format!("cannot rename {}", partial.display()))
    }

    fn go(self, dir: &Path, args: &[&OsStr]) -> Result<()> {
        let output = Command::new("go")
            .args(args)
            .current_dir(dir)
            .env("GOFLAGS", "-mod=mod")
            .env("CGO_ENABLED", self.cgo())
            .output()
            .context("cannot run go, which builds what no Debian suite has: install Go")?;
        ensure!(
            output.status.success(),
            "go {args:?} fails: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

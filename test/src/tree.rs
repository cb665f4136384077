//! Debian trees, built once per machine: the read-only lower layer of every host, and what the
//! images with real software are made of.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::flavour::Flavour;
use crate::software::Software;
use crate::{cache, mirror};

/// What a host has besides the essential packages.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "containerd",
    // For the networks of nerdctl.
    "containernetworking-plugins",
    "criu",
    "crun",
    "iproute2",
    "iptables",
    "jq",
    // crun loads it, if it is there, to checkpoint and restore.
    "libcriu2",
    "procps",
    "psmisc",
    "python3",
    "runc",
    "socat",
    "strace",
    "tini",
];

/// What a virtual machine has besides: see [`crate::Vm`]. The kernel's package makes its initial ram
/// disk itself.
const OF_MACHINE: &[&str] = &["linux-image-cloud-amd64", "systemd-sysv", "udev"];

/// What a virtual machine is emulated with.
const OF_QEMU: &[&str] = &["qemu-system-x86", "seabios"];

/// Counted up when the way a tree is built changes in anything but its packages.
const RECIPE: u32 = 1;

/// A complete Debian tree on this machine's disk. Nobody may write to it.
#[derive(Debug, Clone)]
pub struct Tree {
    flavour: Flavour,
    root: PathBuf,
}

impl Tree {
    /// The tree of `flavour`, built now (about half a minute and 400 MB, from the
    /// mirror that this machine's apt uses) unless an earlier run has done so.
    ///
    /// One process builds at a time; the others wait for it. An interrupted build
    /// leaves no tree, only a directory that the next build removes.
    ///
    /// # Errors
    /// The cache cannot be written, no mirror is known, or mmdebstrap fails.
    pub fn prepare(flavour: Flavour) -> Result<Self> {
        Self::of(&Recipe {
            flavour,
            name: flavour.suite().to_owned(),
            variant: "minbase",
            packages: PACKAGES,
        })
    }

    /// As [`Self::prepare`], with all that a virtual machine needs to start from it.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub fn of_machine(flavour: Flavour) -> Result<Self> {
        Self::of(&Recipe {
            flavour,
            name: format!("{flavour}-machine"),
            variant: "minbase",
            packages: &[PACKAGES, OF_MACHINE].concat(),
        })
    }

    /// The packages of `software` and of what they depend on, unpacked and not set up: no host
    /// can be made of it, but an image. Built as [`Self::prepare`] builds a host's.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub fn of_software(flavour: Flavour, software: Software) -> Result<Self> {
        Self::of(&Recipe {
            flavour,
            name: format!("{}-{software}", flavour.suite()),
            variant: "extract",
            packages: &software.packages(),
        })
    }

    /// QEMU 10 and what it needs, unpacked and not set up: it takes a fifth less time than the one of
    /// Debian 12, which this machine may be.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub(crate) fn of_qemu() -> Result<Self> {
        Self::of(&Recipe {
            flavour: Flavour::Trixie,
            name: "qemu".to_owned(),
            variant: "extract",
            packages: OF_QEMU,
        })
    }

    fn of(recipe: &Recipe) -> Result<Self> {
        let flavour = recipe.flavour;
        let trees = cache::dir().join("trees");
        fs::create_dir_all(&trees).with_context(|| {
            format!(
                "cannot make {}; choose another cache with {}",
                trees.display(),
                cache::CACHE_VARIABLE
            )
        })?;
        let name = &recipe.name;
        let root = trees.join(format!("{name}-{}", recipe.digest()));
        if !root.exists() {
            let _lock = lock(&trees.join(format!("{name}.lock")))?;
            if !root.exists() {
                build(recipe, &trees, &root)?;
            }
        }
        Ok(Self { flavour, root })
    }

    /// Which suite it is.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its root directory on this machine.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Excludes other builders of the suite until dropped, or until this process dies.
fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// Builds beside `root` and renames, so that `root` is a whole tree if it exists.
fn build(recipe: &Recipe, trees: &Path, root: &Path) -> Result<()> {
    let Recipe { flavour, name, .. } = recipe;
    let mirror = mirror::find()?;
    let partial = trees.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    eprintln!("building the {name} tree from {mirror} (once per machine)");

    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--mode=root"])
        .arg(format!("--variant={}", recipe.variant))
        .arg(format!("--include={}", recipe.packages.join(",")))
        .args([
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
        ]);
    for option in flavour.apt_options() {
        command.arg(format!("--aptopt={option}"));
    }
    let output = command
        .arg(flavour.suite())
        .arg(&partial)
        .arg(&mirror)
        .output()
        .context("cannot run mmdebstrap; install the package of that name")?;
    ensure!(
        output.status.success(),
        "mmdebstrap cannot build {name} from {mirror}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&partial, root)
        .with_context(|| format!("cannot rename {} to {}", partial.display(), root.display()))
}

/// What a tree is made of.
struct Recipe<'r> {
    flavour: Flavour,
    name: String,
    /// What mmdebstrap(1) calls so.
    variant: &'static str,
    packages: &'r [&'r str],
}

impl Recipe<'_> {
    /// Changes whenever the tree would come out different, so that a stale one is not
    /// used. (Newer versions in the suite do not count: remove the tree for those.)
    fn digest(&self) -> String {
        let recipe = format!("{RECIPE} {} {}", self.name, self.packages.join(","));
        let digest = Sha256::digest(recipe.as_bytes());
        digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

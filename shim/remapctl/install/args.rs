//! Their command lines.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How containerd comes to the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// Under the stock shim's name, before it in containerd's PATH: for all containers and clients
    DropIn,
    /// Under its own name: for containers with the runtime io.containerd.remap.v2
    SideBySide,
    /// As a runtime handler in containerd's configuration: for pods of that handler
    Cri,
}

impl Way {
    /// As it is written on the command line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::DropIn => "drop-in",
            Self::SideBySide => "side-by-side",
            Self::Cri => "cri",
        }
    }
}

/// Puts the shim in place for the containerd that runs here.
///
/// What would be changed is shown first. Nothing that is there is overwritten, all of it is noted, and
/// `remapctl uninstall` takes it back. Containers that run keep the shim that they have. The same once
/// more changes nothing, or brings the shim of this remapctl if there is an older one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Install {
    /// How containerd comes to it
    #[arg(long = "as", value_name = "WAY", value_enum, default_value = "drop-in")]
    pub(crate) way: Way,

    /// Do it without asking
    #[arg(long)]
    pub(crate) yes: bool,

    /// Restart containerd afterwards, if it is a service of systemd: it remembers which shim it took
    #[arg(long)]
    pub(crate) restart: bool,

    /// The shim, if it is not beside this program
    #[arg(long, value_name = "FILE")]
    pub(crate) shim: Option<PathBuf>,

    /// Where the shim is copied to, unless it is in containerd's PATH already
    #[arg(long, value_name = "DIR", default_value = "/usr/local/bin")]
    pub(crate) dir: PathBuf,

    /// The name of the runtime handler, with --as cri
    #[arg(long, value_name = "NAME", default_value = "remap", value_parser = handler)]
    pub(crate) handler: String,

    /// The process of containerd, where several run
    #[arg(long, value_name = "PID")]
    pub(crate) containerd: Option<u32>,
}

/// Takes back what `remapctl install` has changed.
///
/// Containers of the shim run on, can be checkpointed, and end as they would have: for them a copy of
/// the shim is kept, which `remapctl prune` removes when they are gone. containerd remembers which shim
/// it took, so the last of a drop-in goes while it does not run: with --restart, or by `remapctl
/// uninstall` once more.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Uninstall {
    /// Do it without asking
    #[arg(long)]
    pub(crate) yes: bool,

    /// Restart containerd, if it is a service of systemd
    #[arg(long)]
    pub(crate) restart: bool,

    /// The shim's own file goes as well, as its package is removed
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) package: Option<PathBuf>,

    /// The process of containerd, where several run
    #[arg(long, value_name = "PID")]
    pub(crate) containerd: Option<u32>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done, or was so before
  1  nothing was changed: something is in the way, or nobody has said yes
  2  the command line is wrong
  3  it failed; an install has put back what it had changed";

/// A bare key of TOML, which needs no quotes in a path of them.
fn handler(text: &str) -> Result<String, &'static str> {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits, - and _ are allowed")
    }
}

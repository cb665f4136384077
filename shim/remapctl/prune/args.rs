//! Its command line.

use std::path::PathBuf;
use std::time::Duration;

use super::age;

/// Lists what nobody needs any more, and with --yes removes it.
///
/// That is: temporary directories that containerd leaves after checkpoints and restores
/// (containerd#10166) and CRIU after being killed, if no process and no container uses them; logs of
/// failures; copies of the shim that `remapctl uninstall` has kept for containers that are gone; and
/// with --checkpoints old ones below a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Prune {
    /// Remove what is listed
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,

    /// Only list: the default
    #[arg(long)]
    dry_run: bool,

    /// Print a JSON document instead of a list
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the JSON Schema of that document
    #[arg(long, conflicts_with_all = ["json", "yes"])]
    pub(crate) schema: bool,

    /// Checkpoints, too: the directories below this one that hold a remap-manifest.json
    #[arg(long, value_name = "DIR", requires = "which")]
    pub(crate) checkpoints: Option<PathBuf>,

    /// Checkpoints that are older: a number with s, m, h or d
    #[arg(long, value_name = "AGE", value_parser = age::parse, group = "which", requires = "checkpoints")]
    older_than: Option<Duration>,

    /// All checkpoints but the newest N in each directory; with --older-than those of them that are older
    #[arg(long, value_name = "N", group = "which", requires = "checkpoints")]
    pub(crate) keep: Option<usize>,

    /// Logs of failures that are older
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = age::parse)]
    logs_older_than: Duration,

    /// Temporary directories in which nothing has changed for as long
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = age::parse)]
    unused_for: Duration,

    /// containerd's state directory, if it does not run and its configuration has another
    #[arg(long, value_name = "DIR", default_value = "/run/containerd")]
    pub(crate) state: PathBuf,
}

impl Prune {
    /// How old checkpoints are that go.
    pub(crate) fn older_than(&self) -> Duration {
        self.older_than.unwrap_or_default()
    }

    /// How old logs are that go.
    pub(crate) fn logs_older_than(&self) -> Duration {
        self.logs_older_than
    }

    /// How long nothing has changed in temporary directories that go.
    pub(crate) fn unused_for(&self) -> Duration {
        self.unused_for
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it is listed, or removed
  1  something could not be removed
  2  the command line is wrong
  3  it cannot be told what there is";

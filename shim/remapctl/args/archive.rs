//! The command lines of what makes, reads and restores checkpoints.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use remap_engine::archive::{Compression, Layout};

use super::{Asked, Place, id};
use crate::scratch::Scratch;

/// Takes a checkpoint of a container, as a file or directory that can be moved and restored.
///
/// The container stands still meanwhile, and runs on afterwards; with --exit it ends, once the
/// checkpoint is complete and on disk. Whatever fails, it runs on as before, and there is nothing at
/// DESTINATION.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Checkpoint {
    /// The container
    #[arg(value_parser = id)]
    pub(crate) id: String,

    /// A file or directory that does not exist yet
    pub(crate) destination: PathBuf,

    #[command(flatten)]
    pub(crate) place: Place,

    #[command(flatten)]
    pub(crate) containerd: Address,

    #[command(flatten)]
    pub(crate) work: WorkDir,

    #[command(flatten)]
    pub(crate) limit: Limit,

    /// Print a JSON document instead of a line
    #[arg(long)]
    pub(crate) json: bool,

    // What has a heading comes last: it would go on with what follows.
    #[command(flatten)]
    pub(crate) written: Form,

    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// Makes a container of a checkpoint, which goes on where the saved one stood still.
///
/// The checkpoint is one of remapctl, ctr, Podman, CRI-O, CRI or nerdctl. It is checked first, and what
/// this host lacks is told at once. Whatever fails, there is no such container afterwards, and the
/// checkpoint stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Restore {
    /// The file or directory
    pub(crate) checkpoint: PathBuf,

    /// Another id than the saved container's, for one that lives beside it
    #[arg(long, value_parser = id)]
    pub(crate) id: Option<String>,

    /// Where the output goes: a file, or an address as containerd takes it, such as
    /// `binary:///usr/bin/logger`; without, a log that the saved container had is continued
    #[arg(long, value_name = "FILE|URI")]
    pub(crate) log: Option<String>,

    /// containerd's snapshotter for the root file system; without, the saved container's
    #[arg(long)]
    pub(crate) snapshotter: Option<String>,

    /// containerd's namespace
    #[arg(
        short,
        long,
        value_name = "NS",
        env = "CONTAINERD_NAMESPACE",
        value_parser = id
    )]
    pub(crate) namespace: Option<String>,

    #[command(flatten)]
    pub(crate) containerd: Address,

    #[command(flatten)]
    pub(crate) work: WorkDir,

    #[command(flatten)]
    pub(crate) limit: Limit,

    /// Print a JSON document instead of a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Says what is in a checkpoint, of whatever form. Nothing is unpacked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Inspect {
    /// The file or directory
    pub(crate) checkpoint: PathBuf,

    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads all of a checkpoint, and holds it against its digests. Nothing is unpacked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    /// The file or directory
    pub(crate) checkpoint: PathBuf,

    /// Print a JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes a checkpoint in another form.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Convert {
    /// The file or directory
    pub(crate) checkpoint: PathBuf,

    /// A file or directory that does not exist yet
    pub(crate) destination: PathBuf,

    #[command(flatten)]
    pub(crate) work: WorkDir,

    #[command(flatten)]
    pub(crate) limit: Limit,

    /// Print a JSON document instead of a line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) written: Form,
}

/// The form in which a checkpoint is written.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "The form")]
pub(crate) struct Form {
    /// The form
    #[arg(long, value_enum, default_value = "oci")]
    form: FormName,

    /// Compress it by zstd; LEVEL is 1 (fast) to 19 (small)
    #[arg(
        long,
        value_name = "LEVEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = clap::value_parser!(i32).range(1..=19)
    )]
    zstd: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormName {
    /// An OCI image layout in a tar, for `ctr image import` and `ctr container restore`
    Oci,
    /// An OCI image layout in a tar, with ordinary layers, for registries
    Registry,
    /// The tar of Podman, CRI-O and CRI
    Podman,
    /// A directory, with CRIU's images as they are
    Dir,
}

impl Form {
    /// The layout.
    pub(crate) fn layout(self) -> Layout {
        match self.form {
            FormName::Oci => Layout::Oci,
            FormName::Registry => Layout::Registry,
            FormName::Podman => Layout::Podman,
            FormName::Dir => Layout::Directory,
        }
    }

    /// The compression.
    pub(crate) fn compression(self) -> Compression {
        self.zstd
            .map_or(Compression::None, |level| Compression::Zstd {
                level,
                threads: 0,
            })
    }
}

/// Where containerd is.
#[derive(Debug, clap::Args)]
pub(crate) struct Address {
    /// containerd's socket
    #[arg(
        short,
        long,
        value_name = "SOCKET",
        default_value = "/run/containerd/containerd.sock",
        env = "CONTAINERD_ADDRESS"
    )]
    pub(crate) address: PathBuf,
}

/// Where there is room.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WorkDir {
    /// Where there is room for the images of CRIU meanwhile: as much as the container has memory;
    /// without, beside the file
    #[arg(long = "work-dir", value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl WorkDir {
    /// Makes a directory there, or beside `path`.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn scratch(&self, path: &Path, what: &str) -> anyhow::Result<Scratch> {
        match (&self.dir, path.file_name()) {
            (Some(dir), Some(name)) => Scratch::beside(&dir.join(name), what),
            _ => Scratch::beside(path, what),
        }
    }
}

/// How long it may take.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// Give it up after so long, and undo it; without, it takes as long as it takes
    #[arg(
        long = "give-up-after",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    seconds: Option<u64>,
}

impl Limit {
    /// So long, if there is a limit.
    pub(crate) fn duration(self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done
  1  it is refused, for reasons that are told; nothing was touched
  2  the command line is wrong
  3  it failed, and everything is as it was
  4  the checkpoint is damaged";

//! Its command line.

/// Says whether this host is able to checkpoint and restore containers, and what to do if not.
///
/// Nothing is changed. What counts is what the containerd that runs here finds and may do, so it is
/// asked, and its programs are.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Doctor {
    /// Print a JSON document instead of a list
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the JSON Schema of that document
    #[arg(long, conflicts_with = "json")]
    pub(crate) schema: bool,

    /// The process of containerd, where several run
    #[arg(long, value_name = "PID")]
    pub(crate) containerd: Option<u32>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the host is able; there may be warnings
  1  something is in the way
  2  the command line is wrong
  3  it cannot be told, for instance without root";

//! The command line.

mod archive;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, Subcommand};
use remap_control::message::PlanRequest;

pub(crate) use archive::{Checkpoint, Convert, Form, Inspect, Restore, Verify, WorkDir};

/// Plans, takes, checks, keeps and restores checkpoints of containers.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Args {
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Plan(Plan),
    Checkpoint(Checkpoint),
    Restore(Restore),
    Inspect(Inspect),
    Verify(Verify),
    Convert(Convert),
    Metrics(Metrics),
    Doctor(crate::doctor::Doctor),
    Install(crate::install::Install),
    Uninstall(crate::install::Uninstall),
    Prune(crate::prune::Prune),
    Completions(crate::generate::Completions),
    Man(crate::generate::Man),
}

/// Says what a checkpoint of a container would do, and what would forbid it.
///
/// Nothing is changed. The container must run or be paused, under this project's shim. While it runs
/// it can change right after the look; --freeze gives a picture of one moment.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, group(ArgGroup::new("what").required(true).args(["id", "schema"])))]
pub(crate) struct Plan {
    /// The container
    #[arg(value_parser = id)]
    pub(crate) id: Option<String>,

    #[command(flatten)]
    pub(crate) shim: Shim,

    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the JSON Schema of that document
    #[arg(long, conflicts_with_all = ["id", "json"])]
    pub(crate) schema: bool,

    /// Freeze the container while it is looked at, a fraction of a second as a rule; then it runs on
    #[arg(long)]
    pub(crate) freeze: bool,

    #[command(flatten)]
    asked: Asked,
}

/// What CRIU and the shim are asked to do; the container's annotations and CRIU's configuration come on
/// top.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = ASKED)]
pub(crate) struct Asked {
    /// The container ends with the checkpoint; without, it runs on
    #[arg(long)]
    pub(crate) exit: bool,

    /// Established TCP connections are in the checkpoint
    #[arg(long)]
    pub(crate) tcp_established: bool,

    /// Unix connections to processes outside are allowed
    #[arg(long)]
    pub(crate) ext_unix_sk: bool,

    /// A session or terminal that was opened outside is allowed
    #[arg(long)]
    pub(crate) shell_job: bool,

    /// File locks are in the checkpoint: the default, as `ctr container checkpoint --task` asks for
    #[arg(long, overrides_with = "no_file_locks")]
    file_locks: bool,

    /// File locks are not in the checkpoint, as `ctr task checkpoint` asks for
    #[arg(long)]
    no_file_locks: bool,
}

impl Asked {
    /// Whether file locks are to be saved.
    pub(crate) fn file_locks(self) -> bool {
        !self.no_file_locks
    }
}

/// Says how long the last checkpoint of a container took, and the restore that it comes from, and how
/// much there was.
///
/// The sums of all containers on this host are in /run/containerd-shim-remap-metrics/remap.prom, for
/// the textfile collector of Prometheus' node_exporter.
#[derive(Debug, clap::Args)]
#[command(after_help = METRICS_EXIT_CODES)]
pub(crate) struct Metrics {
    /// The container
    #[arg(value_parser = id)]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) shim: Shim,

    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which shim is asked, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Shim {
    #[command(flatten)]
    pub(crate) place: Place,

    /// How long to wait for the shim's answer
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    timeout: u64,
}

/// Where the shim of a container is found.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// containerd's namespace
    #[arg(
        short,
        long,
        value_name = "NS",
        default_value = "default",
        env = "CONTAINERD_NAMESPACE",
        value_parser = id
    )]
    pub(crate) namespace: String,

    /// containerd's state directory, if its configuration has another
    #[arg(long, value_name = "DIR", default_value = "/run/containerd")]
    pub(crate) state: PathBuf,
}

impl Shim {
    /// How long to wait.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

const METRICS_EXIT_CODES: &str = "\
Exit codes:
  0  it is printed
  2  the command line is wrong
  3  there is no answer: no such container, not run by this shim, no permission, ...";

/// What the options of the checkpoint stand under.
const ASKED: &str = "What is in the checkpoint (the container's annotations and your CRIU \
                     configuration come on top)";

const EXIT_CODES: &str = "\
Exit codes:
  0  a checkpoint would work, as far as is known
  1  it would be refused, or it is not known whether it would work
  2  the command line is wrong
  3  there is no answer: no such container, not run by this shim, not running, no permission, ...";

impl Plan {
    /// What is asked about the container `id`.
    pub(crate) fn request(&self, id: &str) -> PlanRequest {
        PlanRequest {
            id: id.to_owned(),
            freeze: self.freeze,
            exit: self.asked.exit,
            tcp_established: self.asked.tcp_established,
            ext_unix_sk: self.asked.ext_unix_sk,
            shell_job: self.asked.shell_job,
            file_locks: self.asked.file_locks(),
        }
    }
}

/// An id or a namespace. It becomes part of a path; containerd allows letters, digits and `-_.`
/// between them (`pkg/identifiers`).
fn id(text: &str) -> Result<String, &'static str> {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let ends = |char: char| char.is_ascii_alphanumeric();
    let well_formed = text.starts_with(ends) && text.ends_with(ends) && text.chars().all(plain);
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err("letters, digits and, between them, - _ . are allowed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    fn parse(line: &str) -> Result<Plan, clap::Error> {
        match Args::try_parse_from(line.split(' '))?.command {
            Command::Plan(plan) => Ok(plan),
            _ => panic!("{line}"),
        }
    }

    fn request(line: &str) -> PlanRequest {
        parse(line).unwrap().request("c")
    }

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn by_default_it_is_what_ctr_asks_for() {
        let plan = parse("remapctl plan c").unwrap();
        assert_eq!(plan.id.as_deref(), Some("c"));
        assert_eq!(plan.shim.place.state, PathBuf::from("/run/containerd"));
        assert_eq!(plan.shim.timeout(), Duration::from_secs(60));
        let expected = PlanRequest {
            id: "c".into(),
            file_locks: true,
            ..PlanRequest::default()
        };
        assert_eq!(plan.request("c"), expected);
    }

    #[test]
    fn every_option_is_asked_for() {
        let line = "remapctl plan --freeze --exit --tcp-established --ext-unix-sk --shell-job -n x --no-file-locks c";
        let expected = PlanRequest {
            id: "c".into(),
            freeze: true,
            exit: true,
            tcp_established: true,
            ext_unix_sk: true,
            shell_job: true,
            file_locks: false,
        };
        assert_eq!(request(line), expected);
        assert_eq!(parse(line).unwrap().shim.place.namespace, "x");
        assert!(!request("remapctl plan --file-locks --no-file-locks c").file_locks);
        assert!(request("remapctl plan --no-file-locks --file-locks c").file_locks);
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for line in [
            "remapctl",
            "remapctl plan",
            "remapctl plan a b",
            "remapctl plan ../x",
            "remapctl plan .x",
            "remapctl plan --schema c",
            "remapctl plan --timeout 0 c",
            "remapctl plan -n a/b c",
            "remapctl metrics",
            "remapctl metrics a b",
            "remapctl metrics --freeze c",
            "remapctl doctor x",
            "remapctl doctor --schema --json",
            "remapctl install --as thing",
            "remapctl install --handler a.b",
            "remapctl prune --yes --dry-run",
            "remapctl prune --keep 1",
            "remapctl prune --checkpoints /x",
            "remapctl prune --checkpoints /x --older-than 3",
            "remapctl dance",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert!(parse("remapctl plan --schema").unwrap().schema);
        let help = parse("remapctl plan --help").unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
        assert!(help.to_string().contains("Exit codes:"));
    }
}

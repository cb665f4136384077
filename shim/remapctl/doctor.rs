//! `remapctl doctor`.

mod args;
mod check;
mod conf;
mod criu;
mod daemon;
mod ground;
mod kernel;
mod leftovers;
mod render;
mod room;
mod runtime;
mod shims;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, Result};

pub(crate) use args::Doctor;
use check::{Check, Outcome, Report};
use ground::Ground;

use crate::text::print;

const SCHEMA: &str = include_str!("schema/doctor.json");

/// Looks and prints; the exit code is the answer in short.
///
/// # Errors
/// It cannot be told, or not be printed.
pub(crate) fn run(args: &Doctor) -> Result<ExitCode> {
    if args.schema {
        return print(SCHEMA.as_bytes()).map(|()| ExitCode::SUCCESS);
    }
    let report = Report::of(look(args));
    if args.json {
        let json = serde_json::to_vec_pretty(&report).context("the report cannot be written")?;
        print(&[&json[..], b"\n"].concat())?;
    } else {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print(render::render(&report, colours).as_bytes())?;
    }
    Ok(report.exit_code().into())
}

/// Every check, in the order in which one fails for the sake of another.
fn look(args: &Doctor) -> Vec<Check> {
    let (ground, mut checks) = Ground::look(args.containerd);
    checks.extend(daemon::checks(&ground));
    checks.extend(shims::checks(&ground));
    checks.extend(runtime::checks(&ground));
    checks.extend(criu::checks(&ground));
    checks.extend(kernel::checks(&ground));
    checks.extend(conf::checks());
    checks.extend(room::checks(&ground));
    checks.push(leftovers::check(&ground));
    checks
}

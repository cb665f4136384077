//! `remapctl`: asks the shim of a container what it would do, and what it did.

mod args;
mod connect;
mod metrics;
mod plan;
mod table;
mod text;

use std::process::ExitCode;

use clap::Parser;
use remap_engine::phase::report;

use args::{Args, Command};

/// The exit code when the question cannot be answered.
const CANNOT_TELL: u8 = 3;

fn main() -> ExitCode {
    // Of a command line that means nothing clap says so, and ends with 2.
    let Args { command } = Args::parse();
    let result = match command {
        Command::Plan(args) => plan::run(&args),
        Command::Metrics(args) => metrics::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("remapctl: {}", text::printable(&report(error.as_ref())));
        ExitCode::from(CANNOT_TELL)
    })
}

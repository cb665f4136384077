//! `remapctl`: plans, takes, checks, keeps and restores checkpoints of containers, and looks after a host.

mod args;
mod checkpoint;
mod connect;
mod containerd;
mod convert;
mod doctor;
mod generate;
mod host;
mod inspect;
mod install;
mod interrupt;
mod metrics;
mod outcome;
mod path;
mod plan;
mod progress;
mod prune;
mod reading;
mod restore;
mod scratch;
mod table;
mod text;
mod verify;
mod writing;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    // Of a command line that means nothing clap says so, and ends with 2.
    let Args { command } = Args::parse();
    let result = match command {
        Command::Plan(args) => plan::run(&args),
        Command::Checkpoint(args) => checkpoint::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Install(args) => install::install(&args),
        Command::Uninstall(args) => install::uninstall(&args),
        Command::Prune(args) => prune::run(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("remapctl: {}", text::printable(&outcome::report(&error)));
        outcome::code(&error)
    })
}

/// Runs asynchronous work to its end.
///
/// # Errors
/// That of `work`.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(work)
}

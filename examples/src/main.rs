//! The demo: a container with semaphores and shared memory moves between two hosts.
//!
//! Run by `examples/demo`, which installs what it needs.

mod container;
mod hosts;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};
use remap_test::Flavour;

const USAGE: &str = "\
usage: examples/demo [trixie|forky]

Moves a container that holds POSIX semaphores and shared memory from one containerd host to
another: first with the stock shim, which fails, then with this project's.

  trixie  containerd 1.7, runc 1.1, CRIU 4.1 (the default)
  forky   containerd 2.1, runc 1.3, CRIU 4.2
";

fn main() -> ExitCode {
    let flavour = match flavour(std::env::args().skip(1).collect()) {
        Ok(Some(flavour)) => flavour,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match story::tell(flavour) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn flavour(args: Vec<String>) -> Result<Option<Flavour>> {
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] | ["trixie"] => Ok(Some(Flavour::Trixie)),
        ["forky"] => Ok(Some(Flavour::Forky)),
        ["-h" | "--help"] => Ok(None),
        other => bail!("unknown arguments: {}", other.join(" ")),
    }
}

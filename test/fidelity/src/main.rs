//! The workloads of the fidelity suite: each sets up what it holds and says itself, when it is
//! asked, whether all of it is still what it was.
//!
//! ```text
//! remap-fidelity NAME [ARGUMENT…]   sets up the workload NAME and stays
//! remap-fidelity ask                in the same container: asks all its processes, and fails
//!                                   with what is different
//! ```
//!
//! A process of a workload is a [`role::Role`]. It is asked by SIGUSR1, for which it waits in
//! sigwait(3): it polls nothing and has no descriptor but those that it is about. A round has two
//! steps for every process, one after the other: in *act* it changes what it shares with others,
//! in *check* it looks at what it has and at what the others did.
//!
//! To add a workload, write a function in a file of `workloads/` and name it in that file's list.

mod channel;
mod file;
mod memory;
mod role;
mod watch;
mod workloads;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A detached container has no other place where it could be read.
            channel::note_error(&format!("{error:#}"));
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((name, [])) if name == "ask" => channel::ask(),
        Some((name, rest)) => match workloads::find(name) {
            Some(set_up) => match set_up(rest)? {},
            None => bail!("there is no workload {name}"),
        },
        None => bail!("which workload?"),
    }
}

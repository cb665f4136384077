//! containerd runtime shim that checkpoints and restores containers with files on external
//! mounts.

mod args;
mod bootstrap;
mod bundle;
mod cgroup;
mod container;
mod control;
mod criu_log;
mod decodable;
mod delete;
mod engine;
mod error;
mod events;
mod freezer;
#[cfg(fuzzing)]
pub mod fuzz;
mod hand_over;
mod info;
mod io;
mod launch;
mod log;
mod memory;
mod metrics;
mod mounts;
mod oom;
mod options;
mod own_cgroup;
mod process;
mod publisher;
mod reaper;
mod requester;
mod runc;
mod serve;
mod shim;
mod shim_cgroup;
mod signal;
mod socket;
mod start;
mod stats;
mod status;
mod task;
mod versions;

use std::{env, process::ExitCode};

use args::Action;

/// Does what the command line says, as the shim's binary.
pub fn main() -> ExitCode {
    let called_as = env::args_os().next().unwrap_or_default();
    if let Some(code) = remap_hook::run_as(&called_as) {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // containerd shows this when an action fails.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (action, flags) = args::parse(env::args_os().skip(1))?;
    match action {
        Action::Start => start::start(&flags),
        Action::Delete => {
            log::to_stderr(flags.debug);
            delete::delete(&flags)
        }
        Action::Serve => serve::serve(&flags),
        Action::Info => info::info(),
        Action::Version => {
            println!("containerd-shim-remap-v2 {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Action::Help => {
            print!("{}", args::USAGE);
            Ok(())
        }
    }
}

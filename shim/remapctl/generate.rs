//! What a package has besides: completions for shells, and man pages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::text::print;

/// Prints a completion script.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the man pages, one for each command, into a directory.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// The directory
    dir: PathBuf,
}

/// # Errors
/// It cannot be printed.
pub(crate) fn completions(args: &Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "remapctl", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// # Errors
/// They cannot be written.
pub(crate) fn man(args: &Man) -> Result<ExitCode> {
    clap_mangen::generate_to(Args::command(), &args.dir)
        .with_context(|| format!("cannot write man pages into {}", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_is_not_hidden_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        man(&Man {
            dir: dir.path().into(),
        })
        .unwrap();
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let command = Args::command();
        let commands = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let mut expected: Vec<String> = commands
            .map(|command| format!("remapctl-{}.1", command.get_name()))
            .chain(["remapctl.1".to_owned()])
            .collect();
        expected.sort();
        assert_eq!(names, expected);
        let page = std::fs::read_to_string(dir.path().join("remapctl-doctor.1")).unwrap();
        assert!(page.contains("Exit codes"), "{page}");
    }
}

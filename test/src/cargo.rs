//! Having cargo build a program of this workspace.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Runs `cargo` with `args`, which build the program `name`, and returns where it is.
pub(crate) fn build(name: &str, args: &[&str], compiler_args: &[&str]) -> Result<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(args)
        .arg("--message-format=json-render-diagnostics");
    if !compiler_args.is_empty() {
        command.arg("--").args(compiler_args);
    }
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cannot build {name}: cargo ends with {}",
        output.status
    );
    output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .find(|path| path.ends_with(name))
        .with_context(|| format!("cargo built {name} and did not say where"))
}

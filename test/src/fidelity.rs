//! The program with the fidelity suite's own workloads.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};

use crate::cargo;

const NAME: &str = "remap-fidelity";

/// The environment variable that names a program built already.
pub const BINARY_VARIABLE: &str = "REMAP_FIDELITY_BIN";

/// The program on this machine: the one that the environment names, or else one that cargo builds now, once, and static: the container that it runs
/// in has no C library, and this machine's need not be that of the trees.
///
/// # Errors
/// The build fails.
pub fn program() -> Result<PathBuf> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    if let Some(path) = env::var_os(BINARY_VARIABLE) {
        return Ok(path.into());
    }
    let args = ["rustc", "--package", NAME, "--bin", NAME];
    let compiler_args = ["-C", "target-feature=+crt-static", "-C", "strip=symbols"];
    cargo::build(NAME, &args, &compiler_args)
}

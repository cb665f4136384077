//! The shim under test and its command-line tool: where the binaries are, putting them
//! into a host, and talking to a shim.

mod api;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub use api::Api;

use crate::cargo;
use crate::containerd::{DROP_IN_DIR, SIDE_BY_SIDE_DIR};
use crate::host::Host;

/// Where the tool goes.
const TOOL_DIR: &str = "/usr/local/bin";

/// The environment variable that names a shim built already.
pub const BINARY_VARIABLE: &str = "REMAP_SHIM_BIN";

/// The package and its binary.
const NAME: &str = "containerd-shim-remap-v2";

/// The package of the tool and its binary, which cargo puts beside the shim.
pub const TOOL: &str = "remapctl";

/// The shim's binary on this machine: the one that the environment names, or
/// else one that cargo builds now from this checkout.
///
/// # Errors
/// The variable names no file, or the build fails.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os(BINARY_VARIABLE) {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "{BINARY_VARIABLE} is {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    build(&[])
}

/// The shim's binary as it is installed, optimised; cargo builds it now.
///
/// # Errors
/// The build fails.
pub fn release_binary() -> Result<PathBuf> {
    build(&["--release"])
}

fn build(flags: &[&str]) -> Result<PathBuf> {
    let mut args = vec!["build", "--package", NAME, "--package", TOOL, "--bins"];
    args.extend(flags);
    cargo::build(NAME, &args, &[])
}

/// Puts the shim `binary` into `host`, and `remapctl`, which is beside it.
///
/// # Errors
/// A binary cannot be read, or the host's files cannot be written.
pub fn install(host: &Host, binary: &Path) -> Result<()> {
    install_shim(host, binary)?;
    let tool = binary.with_file_name(TOOL);
    host.install_file(&tool, &Path::new(TOOL_DIR).join(TOOL), 0o755)
        .with_context(|| format!("{TOOL} is not beside the shim"))
}

/// Puts only the shim there, under its own name and under the stock shim's. Which one containerd
/// takes: see [`crate::ShimLookup`].
///
/// # Errors
/// The binary cannot be read, or the host's files cannot be written.
pub fn install_shim(host: &Host, binary: &Path) -> Result<()> {
    let own = Path::new(SIDE_BY_SIDE_DIR).join(NAME);
    host.install_file(binary, &own, 0o755)?;
    let drop_in = Path::new(DROP_IN_DIR).join("containerd-shim-runc-v2");
    host.install_file(binary, &drop_in, 0o755)
}

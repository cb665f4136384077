//! The `-info` action: what this runtime is and can do, as a protobuf `RuntimeInfo`.

use std::{env, ffi::OsStr, io::Write, path::Path, process::Command};

use anyhow::{Context, Result};
use containerd_shim_protos::{
    protobuf::{Message, MessageField, well_known_types::any::Any},
    types::introspection::{RuntimeInfo, RuntimeVersion},
};

use crate::{bootstrap, options::Options, runc};

/// What the name of a shim's program begins with (containerd `pkg/shim` `BinaryName`).
const PROGRAM: &str = "containerd-shim-";

/// The type of the OCI runtime's `features` document in an Any, as typeurl registers it.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Prints the description.
///
/// # Errors
/// When the options cannot be understood or standard output cannot be written.
pub(crate) fn info() -> Result<()> {
    let input = bootstrap::read_stdin().context("cannot read the options")?;
    let any = Any::parse_from_bytes(&input).context("the options are no protobuf Any")?;
    let options = Options::from_any(Some(&any))?;
    let info = RuntimeInfo {
        name: name(&env::args_os().next().unwrap_or_default()),
        version: MessageField::some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").into(),
            ..RuntimeVersion::default()
        }),
        options: (!input.is_empty()).then_some(any).into(),
        features: features(&options)?.into(),
        ..RuntimeInfo::default()
    };
    let bytes = info
        .write_to_bytes()
        .context("cannot encode the description")?;
    std::io::stdout()
        .write_all(&bytes)
        .context("cannot print the description")
}

/// The name by which clients choose the runtime, if its program is called so: `containerd-shim-a-b`
/// is `io.containerd.a.b`.
fn name(program: &OsStr) -> String {
    let file = Path::new(program).file_name().and_then(OsStr::to_str);
    let parts = file
        .and_then(|file| file.strip_prefix(PROGRAM))
        .and_then(|rest| rest.rsplit_once('-'));
    let (name, version) = parts.unwrap_or(("remap", "v2"));
    format!("io.containerd.{name}.{version}")
}

/// What `runc features` prints; runtimes before runc 1.1 have no such command.
///
/// # Errors
/// There is no such program.
fn features(options: &Options) -> Result<Option<Any>> {
    let binary = runc::binary(options);
    let output = Command::new(&binary)
        .arg("features")
        .output()
        .with_context(|| {
            format!(
                "cannot run {}; is it in containerd's PATH?",
                binary.display()
            )
        })?;
    let is_json = || serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok();
    Ok((output.status.success() && is_json()).then_some(Any {
        type_url: FEATURES.into(),
        value: output.stdout,
        ..Any::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_says_the_name() {
        for (program, expected) in [
            ("/opt/bin/containerd-shim-runc-v2", "io.containerd.runc.v2"),
            ("containerd-shim-remap-v2", "io.containerd.remap.v2"),
            ("containerd-shim-my-own-v2", "io.containerd.my-own.v2"),
            ("shim", "io.containerd.remap.v2"),
        ] {
            assert_eq!(name(OsStr::new(program)), expected);
        }
    }
}

//! The `-info` action: what this runtime is and can do, as a protobuf `RuntimeInfo`.

use std::{io::Write, process::Command};

use anyhow::{Context, Result};
use containerd_shim_protos::{
    protobuf::{Message, MessageField, well_known_types::any::Any},
    types::introspection::{RuntimeInfo, RuntimeVersion},
};

use crate::{bootstrap, options::Options, runc};

/// The name clients choose the runtime by.
const NAME: &str = "io.containerd.remap.v2";

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
        name: NAME.into(),
        version: MessageField::some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").into(),
            ..RuntimeVersion::default()
        }),
        options: (!input.is_empty()).then_some(any).into(),
        features: features(&options).into(),
        ..RuntimeInfo::default()
    };
    let bytes = info
        .write_to_bytes()
        .context("cannot encode the description")?;
    std::io::stdout()
        .write_all(&bytes)
        .context("cannot print the description")
}

/// What `runc features` prints; runtimes before runc 1.1 have no such command.
fn features(options: &Options) -> Option<Any> {
    let output = Command::new(runc::binary(options))
        .arg("features")
        .output()
        .ok()?;
    output.status.success().then(|| Any {
        type_url: FEATURES.into(),
        value: output.stdout,
        ..Any::default()
    })
}

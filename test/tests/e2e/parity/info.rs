//! What a shim says of itself.

use anyhow::{Result, ensure};
use containerd_shim_protos::protobuf::Message as _;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci::Options;
use containerd_shim_protos::types::introspection::RuntimeInfo;
use remap_test::{Flavour, Output};
use serde_json::Value;

use super::run::Run;
use super::{Better, Case};

/// The stock shim of containerd 1.7 has no such flag.
const NEW: Better = Better {
    labels: &["code", "options", "features", "has a version"],
    on: &[Flavour::Trixie],
    reason: "containerd 1.7 does not ask, and 2.x asks the same shim",
};

/// The name is the one by which clients choose it.
const NAME: Better = Better {
    labels: &["name"],
    on: &Flavour::ALL,
    reason: "it is chosen by a name of its own",
};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::info::plain", plain).better(&[
        Better {
            labels: &["code", "features", "has a version"],
            ..NEW
        },
        NAME,
    ]),
    Case::new("parity::info::options", options).better(&[NEW, NAME]),
    Case::new("parity::info::no_such_runtime", no_such_runtime),
    Case::new("parity::info::unknown_options", unknown_options),
];

fn ask(run: &Run, options: Option<Any>) -> Result<Output> {
    let stdin = options.map(|any| any.write_to_bytes()).transpose()?;
    run.shim.action(&["-info"], "", &stdin.unwrap_or_default())
}

fn note(run: &mut Run, output: &Output) -> Result<()> {
    let code = output.exit_code();
    run.notes.add("code", code.to_string());
    if code != 0 {
        run.notes.add("name", "");
        return Ok(());
    }
    let info = RuntimeInfo::parse_from_bytes(&output.stdout)?;
    run.notes.add("name", info.name.clone());
    let version = !info.version.version.is_empty();
    run.notes.add("has a version", version.to_string());
    let mut features = String::new();
    if let Some(any) = info.features.as_ref() {
        let value: Value = serde_json::from_slice(&any.value)?;
        features = format!("{} {value}", any.type_url);
    }
    run.notes.add("features", features);
    if let Some(any) = info.options.as_ref() {
        let value = Options::parse_from_bytes(&any.value)?;
        run.notes
            .add("options", format!("{} {value:?}", any.type_url));
    }
    Ok(())
}

fn plain(run: &mut Run) -> Result<()> {
    let output = ask(run, None)?;
    note(run, &output)
}

fn any(options: &Options) -> Result<Any> {
    Ok(Any {
        type_url: "containerd.runc.v1.Options".to_owned(),
        value: options.write_to_bytes()?,
        ..Any::default()
    })
}

fn options(run: &mut Run) -> Result<()> {
    let any = any(&Options {
        binary_name: "/usr/bin/runc".to_owned(),
        systemd_cgroup: true,
        ..Options::default()
    })?;
    let output = ask(run, Some(any))?;
    note(run, &output)
}

fn no_such_runtime(run: &mut Run) -> Result<()> {
    let any = any(&Options {
        binary_name: "/no/such/runtime".to_owned(),
        ..Options::default()
    })?;
    let output = ask(run, Some(any))?;
    run.notes
        .add("fails", (output.exit_code() != 0).to_string());
    Ok(())
}

fn unknown_options(run: &mut Run) -> Result<()> {
    let any = Any {
        type_url: "no.such.Options".to_owned(),
        value: vec![8, 1],
        ..Any::default()
    };
    let output = ask(run, Some(any))?;
    ensure!(!output.error_text().is_empty(), "it does not say why");
    run.notes
        .add("fails", (output.exit_code() != 0).to_string());
    Ok(())
}

//! What containerd 2.3 has new: its way to start a shim, and loggers that have to say that they are
//! ready.

use anyhow::{Context as _, Result};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, Extension};
use containerd_shim_protos::protobuf::Message as _;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci::Options;

use super::Case;
use super::io::{note_file, to_uri};
use super::restore::TOLD;
use super::run::Run;
use super::shim::{ID, bootstrap_result};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::newer::bootstrap", bootstrap).newer(),
    Case::new("parity::newer::life", life).newer(),
    Case::new("parity::newer::restored", restored)
        .newer()
        .better(&[TOLD]),
    Case::new("parity::newer::logger", logger).newer(),
    Case::new("parity::newer::logger_says_nothing", logger_says_nothing).newer(),
    Case::new("parity::newer::logger_fails", logger_fails).newer(),
];

/// Where the socket shall be. Its path has a limit (unix(7)).
const SOCKETS: &str = "/srv/s";

/// As containerd's `client.Command` has it.
fn params(run: &Run) -> Result<Vec<u8>> {
    let options = Options {
        root: "/run/containerd/runc".to_owned(),
        ..Options::default()
    };
    let mut params = BootstrapParams {
        instance_id: ID.to_owned(),
        namespace: "default".to_owned(),
        containerd_grpc_address: "/run/parity.sock".to_owned(),
        containerd_ttrpc_address: format!("{}/events.sock", run.shim.dir()),
        containerd_binary: "/bin/false".to_owned(),
        socket_dir: Some(SOCKETS.to_owned()),
        ..BootstrapParams::default()
    };
    params.extensions.push(Extension {
        value: Some(Any {
            type_url: "containerd.runc.v1.Options".to_owned(),
            value: options.write_to_bytes()?,
            ..Any::default()
        })
        .into(),
        ..Extension::default()
    });
    Ok(params.write_to_bytes()?)
}

fn bootstrap(run: &mut Run) -> Result<()> {
    let params = params(run)?;
    let output = run.shim.action(&[], "start", &params)?.ok()?;
    let result = bootstrap_result(&output).context("no BootstrapResult")?;
    let dir = format!("unix://{SOCKETS}/");
    run.notes.add("version", result.version.to_string());
    run.notes.add("protocol", result.protocol.clone());
    let is_there = result.address.starts_with(&dir);
    run.notes
        .add("socket where it should be", is_there.to_string());
    run.shim.connect(&result.address)?;
    run.shell("exit 3")?;
    let _ = run.create();
    let _ = run.start("");
    run.finish();
    Ok(())
}

fn life(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.whole_exec("one", "exit 4");
    let _ = run.pause();
    let _ = run.state("");
    let _ = run.resume();
    let _ = run.kill("", 9);
    run.finish();
    Ok(())
}

/// The containerd of 2.1 to 2.3 that restores on create (`RestoreFromPath`) names the directory with
/// the images, and starts the task itself.
fn restored(run: &mut Run) -> Result<()> {
    super::restore::come_back(run, "while :; do sleep 0.2; done")?;
    let _ = run.state("");
    let _ = run.start("");
    let _ = run.state("");
    let _ = run.kill("", 9);
    run.finish();
    Ok(())
}

fn logger(run: &mut Run) -> Result<()> {
    let log = format!("{}/log", run.shim.dir());
    let text = format!(
        "#!/bin/sh\n\
         exec 9>{log}\n\
         printf x >&5\n\
         exec 5>&-\n\
         cat <&4 >{log}.error &\n\
         cat <&3 >&9\n\
         wait\n"
    );
    let program = run.shim.script("logger", &text)?;
    let uri = format!("binary-v2://{program}?key=value");
    to_uri(run, &uri, "echo six; echo seven >&2; exit 30")?;
    note_file(run, &log, "six")?;
    note_file(run, &format!("{log}.error"), "seven")
}

/// What a logger for `binary://` may do.
fn logger_says_nothing(run: &mut Run) -> Result<()> {
    let program = run
        .shim
        .script("logger", "#!/bin/sh\nexec 5>&-\ncat <&3\n")?;
    to_uri(run, &format!("binary-v2://{program}"), "exit 31")
}

fn logger_fails(run: &mut Run) -> Result<()> {
    let program = run.shim.script("logger", "#!/bin/sh\nexit 1\n")?;
    to_uri(run, &format!("binary-v2://{program}"), "exit 32")
}

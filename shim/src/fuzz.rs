//! What the fuzz targets call (`test/fuzz`): everything that comes from outside and is read by the
//! shim alone, as bytes. Whatever they are, nothing panics, and what is taken is as it should be.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

use containerd_shim_protos::{
    api::{CheckpointTaskRequest, CreateTaskRequest, ExecProcessRequest, KillRequest},
    protobuf::{Message, well_known_types::any::Any},
    shim::oci::CheckpointOptions,
};
use serde_json::Value;

use crate::{
    args::Flags,
    bootstrap,
    bundle::{self, Bundle},
    cgroup,
    error::bounded,
    io::Stdio,
    mounts::IdMap,
    options::{self, Options},
    runc::{invocation, log, output},
    signal::Signal,
    task::{checkpoint, field},
};

/// The standard input of the `start` action.
///
/// # Panics
/// Something that was needed has got lost.
pub fn bootstrap(input: &[u8]) {
    let flags = Flags {
        id: "c1".into(),
        namespace: "default".into(),
        address: "/run/c.sock".into(),
        ..Flags::default()
    };
    let params = bootstrap::decode(input, &flags);
    assert!(!params.address.is_empty());
    assert_ne!(params.socket_dir.as_deref(), Some(Path::new("")));
    assert_ne!(params.ttrpc_address.as_deref(), Some(OsStr::new("")));
}

/// The options of a create request: an Any of this type.
///
/// # Panics
/// The action `delete` would find other options than those that were given.
pub fn options(type_url: &str, value: &[u8], dir: &Path) {
    let any = any(type_url, value);
    if let Ok(options) = Options::from_any(Some(&any)) {
        options.save(dir).expect("a bundle");
        assert_eq!(Options::load(dir).expect("what was saved"), options);
    }
    let _ = options::decode::<CheckpointOptions>(Some(&any), checkpoint::OPTIONS);
}

/// A create request.
///
/// # Panics
/// It was taken, and would do harm.
pub fn create(request: &[u8]) {
    let Ok(request) = CreateTaskRequest::parse_from_bytes(request) else {
        return;
    };
    let Ok(options) = Options::from_any(request.options.as_ref()) else {
        return;
    };
    if field::check_create(&request, &options).is_ok() {
        is_name(&request.id);
        assert!(Path::new(&request.bundle).is_absolute());
        assert!(!request.bundle.contains('\0') && !options.binary_name.contains('\0'));
    }
    streams(Stdio {
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        terminal: request.terminal,
    });
}

/// Requests for processes of a container that there is.
///
/// # Panics
/// One was taken that would do harm.
pub fn requests(request: &[u8]) {
    if let Ok(request) = ExecProcessRequest::parse_from_bytes(request) {
        if let Ok(process) = field::process(&request) {
            is_name(&request.exec_id);
            let text = Value::from(process).to_string();
            field::object("spec", text.as_bytes()).expect("what was written can be read");
        }
        streams(Stdio {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        });
    }
    if let Ok(request) = CheckpointTaskRequest::parse_from_bytes(request) {
        let options = options::decode(request.options.as_ref(), checkpoint::OPTIONS);
        let options: CheckpointOptions = options.ok().flatten().unwrap_or_default();
        if field::check_checkpoint(&request, &options).is_ok() {
            assert!(!request.path.is_empty());
            let texts = [&request.path, &options.work_path];
            assert!(!texts.iter().any(|text| text.contains('\0')));
        }
    }
    if let Ok(request) = KillRequest::parse_from_bytes(request) {
        let signal = Signal::new(request.signal);
        assert_eq!(signal.is_some(), request.signal <= 64);
    }
}

/// Streams by their names alone.
///
/// # Panics
/// They were taken, and cannot be opened whatever there is.
pub fn stdio(stdin: &str, stdout: &str, stderr: &str) {
    streams(Stdio {
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
        terminal: false,
    });
}

/// What runc prints, logs and writes into files.
///
/// # Panics
/// Something was taken for what it is not.
pub fn runtime(bytes: &[u8], dir: &Path) {
    let _ = output::state(bytes);
    if let Ok(pids) = output::pids(bytes) {
        assert!(pids.len() <= bytes.len());
    }
    for said in [log::last_error(bytes), invocation::last_line(bytes)] {
        let said = said.unwrap_or("nothing".into());
        assert!(!said.is_empty() && said.trim() == said);
        assert!(bounded(said).len() < 20 << 10);
    }
    let pid = bundle::pid(bytes);
    assert_ne!(pid, Some(0));
    let path = dir.join("pid");
    fs::write(&path, bytes).expect("a file");
    if bytes.len() <= 64 {
        assert_eq!(bundle::read_pid(&path).ok(), pid);
    } else {
        let _ = bundle::read_pid(&path);
    }
}

/// What else is found in a bundle, and what the kernel says of a process.
///
/// # Panics
/// Something was taken for what it is not.
pub fn bundle(bytes: &[u8], dir: &Path) {
    if let Ok(config) = serde_json::from_slice::<Value>(bytes) {
        assert!(!bundle::group(&config, "c1").is_empty());
        let _ = (
            bundle::shares_pid_namespace(&config),
            IdMap::of_config(&config),
        );
    }
    fs::write(dir.join("options.json"), bytes).expect("a file");
    let _ = Options::load(dir);
    fs::write(dir.join("address"), bytes).expect("a file");
    let address = Bundle::new(dir).read_address().expect("a file");
    assert!(bytes.ends_with(address.as_os_str().as_bytes()));
    let _ = cgroup::parse(bytes, dir);
}

fn streams(stdio: Stdio) {
    if stdio.check().is_err() {
        return;
    }
    for path in stdio.paths() {
        let path = path.as_os_str().as_bytes();
        assert!(!path.is_empty() && !path.contains(&0));
    }
}

/// The name of a directory that is no other's.
fn is_name(id: &str) {
    assert_eq!(Path::new("/").join(id).parent(), Some(Path::new("/")));
    assert_eq!(
        Path::new(id).file_name().map(OsStr::as_bytes),
        Some(id.as_bytes())
    );
    assert!(!id.contains('\0') && id.len() < 256);
}

fn any(type_url: &str, value: &[u8]) -> Any {
    Any {
        type_url: type_url.into(),
        value: value.into(),
        ..Any::default()
    }
}

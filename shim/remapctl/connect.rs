//! Finds the shim of a container.
//!
//! containerd keeps the bundle of each task in `STATE/io.containerd.runtime.v2.task/NAMESPACE/ID`
//! (`core/runtime/v2/bundle.go`). The shim's address is in its file `address`, which a shim writes when it
//! is started for the task, and in `bootstrap.json`, which containerd writes (`writeBootstrapParams`). From
//! containerd 2.3 on the shim of a pod is started once, for the pod, and other bundles have only the latter.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use remap_control::client::CallError;
use remap_engine::workdir::WorkDir;
use serde_json::Value;

use crate::args::{Place, Shim};
use crate::block_on;

/// The directory of tasks in containerd's state directory.
const TASKS: &str = "io.containerd.runtime.v2.task";

/// What an address begins with.
const SCHEME: &[u8] = b"unix://";

/// A task and its shim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    id: String,
    /// Its bundle.
    bundle: PathBuf,
    /// The shim's socket.
    pub(crate) socket: PathBuf,
}

/// Why there is no answer, with what to do.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    /// No such task.
    #[error("there is no container {id} with a task in the namespace {namespace}; {}", hint(.here, .elsewhere))]
    NoTask {
        /// The container.
        id: String,
        /// Where it was looked for.
        namespace: String,
        /// What there is.
        here: Vec<String>,
        /// Other namespaces that have it.
        elsewhere: Vec<String>,
    },
    /// Not root.
    #[error("cannot read {path}: permission denied; run it as root")]
    NotRoot {
        /// What cannot be read.
        path: PathBuf,
    },
    /// containerd keeps its state elsewhere.
    #[error(
        "there is no {path}: containerd does not run here, or its state directory is another; name it with --state"
    )]
    NoState {
        /// What is not there.
        path: PathBuf,
    },
    /// Something else.
    #[error("cannot read {path}")]
    Read {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The stock shim.
    #[error(
        "container {id} is run by another shim, probably the stock one, which cannot tell; create the container anew with this project's shim (a running container keeps the shim that it was started with)"
    )]
    OtherShim {
        /// The container.
        id: String,
    },
    /// An earlier version of ours.
    #[error(
        "container {id} is run by an earlier version of the shim, which cannot tell; create it anew to have the one that is installed now (a running container keeps the shim that it was started with)"
    )]
    OlderShim {
        /// The container.
        id: String,
    },
    /// The shim is gone.
    #[error(
        "the shim of container {id} is gone, nobody listens at {socket}; `ctr task ls` shows what containerd thinks of it"
    )]
    Gone {
        /// The container.
        id: String,
        /// The shim's socket.
        socket: PathBuf,
    },
    /// The shim says no, or nothing.
    #[error(transparent)]
    Call(CallError),
}

fn hint(here: &[String], elsewhere: &[String]) -> String {
    let others = match here {
        [] => "there are none at all".to_owned(),
        here => format!("there are: {}", here.join(", ")),
    };
    match elsewhere {
        [] => others,
        elsewhere => format!(
            "it is in the namespace {} (-n); here {others}",
            elsewhere.join(", ")
        ),
    }
}

/// Finds the shim of the container `id`.
///
/// # Errors
/// There is none, or it cannot be told.
pub(crate) fn find(place: &Place, id: &str) -> anyhow::Result<Found> {
    Ok(look(&place.state, &place.namespace, id)?)
}

fn look(state: &Path, namespace: &str, id: &str) -> Result<Found, ConnectError> {
    let tasks = state.join(TASKS);
    let bundle = tasks.join(namespace).join(id);
    match address(&bundle)? {
        Some(text) => {
            let text = text.trim_ascii_end();
            let socket = text.strip_prefix(SCHEME).unwrap_or(text).to_vec();
            Ok(Found {
                id: id.to_owned(),
                bundle,
                socket: OsString::from_vec(socket).into(),
            })
        }
        // A shim that tells its address in another way is not ours.
        None if bundle.is_dir() => Err(ConnectError::OtherShim { id: id.to_owned() }),
        None => no_task(&tasks, namespace, id),
    }
}

/// The address that a bundle has, if any.
fn address(bundle: &Path) -> Result<Option<Vec<u8>>, ConnectError> {
    let read = |name: &str| {
        let path = bundle.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(unreadable(&path, source)),
        }
    };
    if let Some(text) = read("address")? {
        return Ok(Some(text));
    }
    let params = read("bootstrap.json")?.unwrap_or_default();
    let params: Option<Value> = serde_json::from_slice(&params).ok();
    let address = params
        .as_ref()
        .and_then(|params| params.get("address")?.as_str());
    Ok(address.map(|text| text.as_bytes().to_vec()))
}

fn no_task(tasks: &Path, namespace: &str, id: &str) -> Result<Found, ConnectError> {
    let namespaces = names(tasks)?.ok_or_else(|| ConnectError::NoState {
        path: tasks.to_owned(),
    })?;
    let has_it = |other: &String| *other != namespace && tasks.join(other).join(id).is_dir();
    Err(ConnectError::NoTask {
        id: id.to_owned(),
        namespace: namespace.to_owned(),
        here: names(&tasks.join(namespace))?.unwrap_or_default(),
        elsewhere: namespaces.into_iter().filter(has_it).collect(),
    })
}

/// The names in a directory, sorted; `None` if there is no such directory.
fn names(dir: &Path) -> Result<Option<Vec<String>>, ConnectError> {
    let list = || -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(dir)?;
        let name = |entry: io::Result<std::fs::DirEntry>| {
            Ok(entry?.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    };
    match list() {
        Ok(mut names) => {
            names.sort();
            Ok(Some(names))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(dir, error)),
    }
}

fn unreadable(path: &Path, source: io::Error) -> ConnectError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::PermissionDenied => ConnectError::NotRoot { path },
        _ => ConnectError::Read { path, source },
    }
}

/// Asks the shim of the container `id`; `call` gets its socket.
///
/// # Errors
/// There is none, or no answer.
pub(crate) fn ask<T>(
    shim: &Shim,
    id: &str,
    call: impl AsyncFnOnce(&Path) -> Result<T, CallError>,
) -> anyhow::Result<T> {
    let found = find(&shim.place, id)?;
    block_on(async {
        let answer = call(&found.socket).await;
        answer.map_err(|error| found.explain(error))
    })
}

impl Found {
    /// Says of a call that failed what it means for the container.
    pub(crate) fn explain(&self, error: CallError) -> anyhow::Error {
        self.meaning(error).into()
    }

    fn meaning(&self, error: CallError) -> ConnectError {
        let id = self.id.clone();
        match error {
            // Our shim makes this directory when it creates a container.
            CallError::NoService { .. } if WorkDir::of(&self.bundle).path().is_dir() => {
                ConnectError::OlderShim { id }
            }
            CallError::NoService { .. } => ConnectError::OtherShim { id },
            CallError::Connect { socket, source } => match source.kind() {
                ErrorKind::PermissionDenied => ConnectError::NotRoot { path: socket },
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    ConnectError::Gone { id, socket }
                }
                _ => ConnectError::Call(CallError::Connect { socket, source }),
            },
            error => ConnectError::Call(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(tasks: &[&str]) -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        for task in tasks {
            std::fs::create_dir_all(state.path().join(TASKS).join(task)).unwrap();
        }
        state
    }

    fn error(state: &tempfile::TempDir, namespace: &str, id: &str) -> String {
        look(state.path(), namespace, id).unwrap_err().to_string()
    }

    #[test]
    fn the_address_in_the_bundle_leads_to_the_shim() {
        let state = state(&["default/c"]);
        let bundle = state.path().join(TASKS).join("default/c");
        for text in ["unix:///run/containerd/s/1", "/run/containerd/s/1\n"] {
            std::fs::write(bundle.join("address"), text).unwrap();
            let found = look(state.path(), "default", "c").unwrap();
            assert_eq!(found.socket, Path::new("/run/containerd/s/1"));
        }
    }

    #[test]
    fn what_containerd_has_written_leads_there_too() {
        let state = state(&["default/c"]);
        let bundle = state.path().join(TASKS).join("default/c");
        let params = r#"{"version":3,"address":"unix:///run/containerd/s/2","protocol":"ttrpc"}"#;
        std::fs::write(bundle.join("bootstrap.json"), params).unwrap();
        let socket = || look(state.path(), "default", "c").unwrap().socket;
        assert_eq!(socket(), Path::new("/run/containerd/s/2"));
        std::fs::write(bundle.join("address"), "/run/containerd/s/1").unwrap();
        assert_eq!(socket(), Path::new("/run/containerd/s/1"));
        std::fs::remove_file(bundle.join("address")).unwrap();
        std::fs::write(bundle.join("bootstrap.json"), "{}").unwrap();
        assert!(error(&state, "default", "c").contains("another shim"));
    }

    #[test]
    fn an_unknown_container_is_told_with_what_there_is() {
        let state = state(&["default/b", "default/a", "k8s.io/c", "moby/c", "empty"]);
        let text = error(&state, "default", "c");
        assert!(text.contains("no container c"), "{text}");
        assert!(
            text.ends_with("it is in the namespace k8s.io, moby (-n); here there are: a, b"),
            "{text}"
        );
        let text = error(&state, "empty", "x");
        assert!(
            text.ends_with("namespace empty; there are none at all"),
            "{text}"
        );
        let text = error(&state, "nowhere", "x");
        assert!(text.ends_with("there are none at all"), "{text}");
    }

    #[test]
    fn a_state_directory_that_is_not_there_is_told() {
        let state = tempfile::tempdir().unwrap();
        assert!(error(&state, "default", "c").contains("--state"));
    }

    #[test]
    fn shims_that_cannot_tell_are_told_apart() {
        let state = state(&["default/c"]);
        assert!(error(&state, "default", "c").contains("another shim"));
        let bundle = state.path().join(TASKS).join("default/c");
        std::fs::write(bundle.join("address"), "unix:///s").unwrap();
        let found = look(state.path(), "default", "c").unwrap();
        let told = || {
            found
                .meaning(CallError::NoService { method: "Plan" })
                .to_string()
        };
        assert!(told().contains("another shim"), "{}", told());
        std::fs::create_dir(bundle.join("remap")).unwrap();
        assert!(told().contains("earlier version"), "{}", told());
    }

    #[test]
    fn a_shim_that_is_gone_and_missing_rights_are_told() {
        let found = Found {
            id: "c".into(),
            bundle: "/b".into(),
            socket: "/s".into(),
        };
        let told = |kind: ErrorKind| {
            let connect = CallError::Connect {
                socket: "/s".into(),
                source: kind.into(),
            };
            found.meaning(connect).to_string()
        };
        assert!(told(ErrorKind::ConnectionRefused).contains("is gone"));
        assert!(told(ErrorKind::NotFound).contains("is gone"));
        assert!(told(ErrorKind::PermissionDenied).contains("as root"));
        assert!(told(ErrorKind::TimedOut).contains("cannot connect"));
        let denied = unreadable(Path::new("/x"), ErrorKind::PermissionDenied.into());
        assert!(denied.to_string().contains("as root"));
    }
}

//! The fields of requests: what cannot be used is refused before anything is done, by its name.
//!
//! containerd checks the ids itself; whoever has access to the socket may send anything.

use std::path::Path;

use containerd_shim_protos::{
    api::{CheckpointTaskRequest, CreateTaskRequest, ExecProcessRequest, Mount},
    shim::oci::CheckpointOptions,
};
use serde_json::{Map, Value};

use super::checkpoint::parent_path;
use crate::{error::TaskError, options::Options};

/// The longest id, in bytes: directories are named by it (limits.h: NAME_MAX).
const MAX_ID: usize = 255;

/// The fields of a create request that have rules; its options are decoded by then.
///
/// # Errors
/// [`TaskError::Invalid`].
pub(crate) fn check_create(
    request: &CreateTaskRequest,
    options: &Options,
) -> Result<(), TaskError> {
    id("id", &request.id)?;
    text("bundle", &request.bundle)?;
    if !Path::new(&request.bundle).is_absolute() {
        let why = format!("{:?} is no absolute path", request.bundle);
        return Err(invalid("bundle", why));
    }
    text("checkpoint", &request.checkpoint)?;
    for Mount {
        type_,
        source,
        options,
        ..
    } in &request.rootfs
    {
        all_text("rootfs", [type_, source].into_iter().chain(options))?;
    }
    let Options {
        no_pivot_root: _,
        no_new_keyring: _,
        shim_cgroup,
        io_uid: _,
        io_gid: _,
        binary_name,
        root,
        systemd_cgroup: _,
        criu_image_path,
        criu_work_path,
    } = options;
    let paths = [
        shim_cgroup,
        binary_name,
        root,
        criu_image_path,
        criu_work_path,
    ];
    all_text("options", paths)
}

/// The process of an exec request, once its fields are seen to be right. Whether it has a terminal
/// the request says, whatever its process does: containerd's client sets it only there.
///
/// # Errors
/// [`TaskError::Invalid`].
pub(crate) fn process(request: &ExecProcessRequest) -> Result<Map<String, Value>, TaskError> {
    id("exec_id", &request.exec_id)?;
    let mut process = object("spec", &request.spec.value)?;
    process.insert("terminal".to_owned(), request.terminal.into());
    Ok(process)
}

/// The fields of a checkpoint request that have rules, and of its options.
///
/// # Errors
/// [`TaskError::Invalid`].
pub(crate) fn check_checkpoint(
    request: &CheckpointTaskRequest,
    options: &CheckpointOptions,
) -> Result<(), TaskError> {
    if request.path.is_empty() {
        return Err(invalid("path", "it is empty"));
    }
    text("path", &request.path)?;
    text("options", &options.work_path)?;
    all_text("options", &options.empty_namespaces)?;
    // It is a field that the message does not know.
    match parent_path(options) {
        Some(path) => text("options", &path.to_string_lossy()),
        None => Ok(()),
    }
}

/// A JSON object in the bytes of an Any.
///
/// # Errors
/// [`TaskError::Invalid`].
pub(crate) fn object(what: &'static str, json: &[u8]) -> Result<Map<String, Value>, TaskError> {
    serde_json::from_slice(json).map_err(|error| invalid(what, error.to_string()))
}

/// An id: of the container, or of a process in it. Directories and arguments of commands are made
/// from the first.
fn id(what: &'static str, id: &str) -> Result<(), TaskError> {
    let why = match id {
        "" => "it is empty",
        "." | ".." => "it is the name of a directory",
        _ if id.starts_with('-') => "it begins with a dash",
        _ if id.contains(['/', '\0']) => "it has a slash or a zero byte",
        _ if id.len() > MAX_ID => {
            let why = format!("it has {} bytes, and {MAX_ID} are the most", id.len());
            return Err(invalid(what, why));
        }
        _ => return Ok(()),
    };
    Err(invalid(what, why))
}

fn all_text<'t>(
    what: &'static str,
    texts: impl IntoIterator<Item = &'t String>,
) -> Result<(), TaskError> {
    texts.into_iter().try_for_each(|one| text(what, one))
}

/// A text that is handed to the system, which takes the first zero byte for its end.
fn text(what: &'static str, text: &str) -> Result<(), TaskError> {
    if text.contains('\0') {
        return Err(invalid(what, format!("{text:?} has a zero byte")));
    }
    Ok(())
}

fn invalid(what: &'static str, why: impl Into<String>) -> TaskError {
    TaskError::Invalid {
        what,
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T>(result: Result<T, TaskError>) -> Option<&'static str> {
        match result {
            Ok(_) => None,
            Err(TaskError::Invalid { what, .. }) => Some(what),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn ids() {
        let longest = "x".repeat(MAX_ID);
        for fine in ["c1", "ü", "a b", ".c", "...", &longest] {
            assert_eq!(field(id("id", fine)), None, "{fine}");
        }
        let longer = "x".repeat(MAX_ID + 1);
        for wrong in ["", ".", "..", "a/b", "../c", "a\0", "--help", &longer] {
            assert_eq!(field(id("id", wrong)), Some("id"), "{wrong}");
        }
    }

    /// One field of a request is made wrong at a time.
    #[test]
    fn create() {
        let request = |change: fn(&mut CreateTaskRequest)| {
            let mut request = CreateTaskRequest {
                id: "c1".into(),
                bundle: "/b".into(),
                rootfs: vec![Mount::default()],
                ..CreateTaskRequest::default()
            };
            change(&mut request);
            field(check_create(&request, &Options::default()))
        };
        assert_eq!(request(|_| {}), None);
        assert_eq!(request(|it| it.id.clear()), Some("id"));
        assert_eq!(request(|it| it.bundle.clear()), Some("bundle"));
        assert_eq!(request(|it| it.bundle = "b".into()), Some("bundle"));
        assert_eq!(request(|it| it.bundle.push('\0')), Some("bundle"));
        assert_eq!(
            request(|it| it.checkpoint = "\0".into()),
            Some("checkpoint")
        );
        assert_eq!(
            request(|it| it.rootfs[0].options.push("\0".into())),
            Some("rootfs")
        );
        let options = Options {
            binary_name: "runc\0".into(),
            ..Options::default()
        };
        let request = CreateTaskRequest {
            id: "c1".into(),
            bundle: "/b".into(),
            ..CreateTaskRequest::default()
        };
        assert_eq!(field(check_create(&request, &options)), Some("options"));
    }

    #[test]
    fn exec() {
        let request = |exec_id: &str, spec: &str| {
            let mut request = ExecProcessRequest {
                exec_id: exec_id.into(),
                ..ExecProcessRequest::default()
            };
            request.spec.mut_or_insert_default().value = spec.into();
            field(process(&request))
        };
        assert_eq!(request("e1", "{}"), None);
        assert_eq!(request("", "{}"), Some("exec_id"));
        for wrong in ["", "3", "[]", "null", "{"] {
            assert_eq!(request("e1", wrong), Some("spec"), "{wrong}");
        }
    }

    #[test]
    fn the_request_says_whether_there_is_a_terminal() {
        for (spec, terminal) in [
            ("{}", true),
            (r#"{"terminal":false}"#, true),
            (r#"{"terminal":true}"#, false),
        ] {
            let mut request = ExecProcessRequest {
                exec_id: "e1".into(),
                terminal,
                ..ExecProcessRequest::default()
            };
            request.spec.mut_or_insert_default().value = spec.into();
            let process = process(&request).ok();
            let says = process.and_then(|process| process.get("terminal")?.as_bool());
            assert_eq!(says, Some(terminal), "{spec}");
        }
    }

    #[test]
    fn checkpoint() {
        let request = |path: &str, options: &CheckpointOptions| {
            let request = CheckpointTaskRequest {
                path: path.into(),
                ..CheckpointTaskRequest::default()
            };
            field(check_checkpoint(&request, options))
        };
        let plain = CheckpointOptions::default();
        assert_eq!(request("/i", &plain), None);
        assert_eq!(request("", &plain), Some("path"));
        assert_eq!(request("/\0", &plain), Some("path"));
        let mut options = plain.clone();
        options.work_path = "\0".into();
        assert_eq!(request("/i", &options), Some("options"));
        let mut options = plain;
        options.empty_namespaces.push("\0".into());
        assert_eq!(request("/i", &options), Some("options"));
    }
}

//! Containers that share `/dev/shm` because nerdctl was told so (`--ipc=shareable`,
//! `--ipc=container:ID`).

use serde::Deserialize;

use super::id_of;
use crate::bundle::Bundle;

/// What nerdctl says of it in each bundle (nerdctl 2.3, `pkg/labels.IPC`), in JSON.
const ANNOTATION: &str = "nerdctl/ipc";

/// The value of [`ANNOTATION`] (nerdctl 2.3, `pkg/ipcutil.IPC`).
#[derive(Deserialize)]
struct Ipc {
    #[serde(default)]
    mode: String,
    #[serde(rename = "victimContainerId")]
    victim: Option<String>,
}

/// The id of the container to which nerdctl has given the `/dev/shm` of this one; itself, if it may
/// share its own.
pub(super) fn owner(bundle: &Bundle) -> Option<String> {
    let value = bundle.annotations.get(ANNOTATION)?;
    let ipc: Ipc = serde_json::from_str(value).ok()?;
    match ipc.mode.as_str() {
        "shareable" => Some(id_of(bundle)),
        "container" => ipc.victim,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{ANNOTATION, owner};
    use crate::bundle::Bundle;

    fn bundle(id: &str, value: &str) -> Bundle {
        Bundle {
            path: format!("/run/bundles/{id}").into(),
            mounts: Vec::new(),
            annotations: HashMap::from([(ANNOTATION.to_owned(), value.to_owned())]),
        }
    }

    #[test]
    fn owner_is_the_one_that_shares() {
        let value = r#"{"mode":"shareable","hostShmPath":"/var/x/shm","shmSize":"64m"}"#;
        assert_eq!(owner(&bundle("one", value)).as_deref(), Some("one"));
        let value = r#"{"mode":"container","victimContainerId":"one"}"#;
        assert_eq!(owner(&bundle("two", value)).as_deref(), Some("one"));
    }

    #[test]
    fn others_have_none() {
        for value in [
            r#"{"mode":"private"}"#,
            r#"{"mode":"host"}"#,
            r#"{"mode":"container"}"#,
            "{}",
            "",
            "[1]",
        ] {
            assert_eq!(owner(&bundle("one", value)), None, "{value}");
        }
    }
}

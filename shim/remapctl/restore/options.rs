//! The runtime's options, and what in a container goes with its id.

use anyhow::{Result, bail};
use prost::Message;
use remap_engine::archive::{Any, Container};
use serde_json::Value;

/// The options of runc's shim (containerd, `api/types/runc/options/oci.proto`).
const RUNC: &str = "containerd.runc.v1.Options";

/// Those of any runtime, which hold TOML (containerd, `api/types/runtimeoptions/v1/api.proto`).
const GENERIC: &str = "runtimeoptions.v1.Options";

/// The fields of [`RUNC`] that a restore sets. Fields of a message that comes after another are added
/// to it (Protocol Buffers, "Encoding", "Last One Wins").
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Images {
    #[prost(string, tag = "10")]
    criu_image_path: String,
}

/// The fields of [`GENERIC`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Generic {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    config_path: String,
    #[prost(bytes = "vec", tag = "3")]
    config_body: Vec<u8>,
}

/// The options with which a task is made that comes from `images`.
///
/// # Errors
/// They are of a type that has no place for it.
pub(super) fn with_images(options: Option<Any>, images: &str) -> Result<Any> {
    let mut options = options
        .filter(|any| !any.type_url.is_empty())
        .unwrap_or(Any {
            type_url: RUNC.to_owned(),
            value: Vec::new(),
        });
    match options.type_url.rsplit('/').next() {
        Some(RUNC) => {
            let criu_image_path = images.to_owned();
            options
                .value
                .extend(Images { criu_image_path }.encode_to_vec());
        }
        Some(GENERIC) => {
            let mut generic = Generic::decode(&options.value[..])?;
            let line = format!("CriuImagePath = {}\n", Value::from(images));
            generic.config_body = [line.as_bytes(), &generic.config_body].concat();
            options.value = generic.encode_to_vec();
        }
        _ => bail!(
            "the runtime has options of the type {}, in which no images can be named",
            options.type_url
        ),
    }
    Ok(options)
}

/// Gives the container another id, and with it another cgroup.
pub(super) fn rename(container: &mut Container, id: &str) {
    let old = std::mem::replace(&mut container.id, id.to_owned());
    if let Some(Value::String(path)) = container.spec.pointer_mut("/linux/cgroupsPath")
        && let Some(start) = path.strip_suffix(&old)
        && start.ends_with(['/', ':'])
    {
        *path = format!("{start}{id}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remap_engine::archive::Runtime;
    use serde_json::json;

    #[test]
    fn the_images_are_added_to_what_the_container_had() {
        let none = with_images(None, "/i").unwrap();
        assert_eq!(
            (none.type_url.as_str(), &none.value[..]),
            (RUNC, &b"\x52\x02/i"[..])
        );
        // binary_name = "r", and an earlier path.
        let had = Any {
            type_url: RUNC.into(),
            value: b"\x22\x01r\x52\x01x".to_vec(),
        };
        let options = with_images(Some(had), "/i").unwrap();
        assert!(options.value.starts_with(b"\x22\x01r"));
        assert_eq!(
            Images::decode(&options.value[..]).unwrap().criu_image_path,
            "/i"
        );
    }

    #[test]
    fn options_in_toml_get_a_line() {
        let had = Generic {
            type_url: "t".into(),
            config_path: String::new(),
            config_body: b"Root = \"/r\"\n".to_vec(),
        };
        let had = Any {
            type_url: GENERIC.into(),
            value: had.encode_to_vec(),
        };
        let options = with_images(Some(had), "/i\"").unwrap();
        let generic = Generic::decode(&options.value[..]).unwrap();
        assert_eq!(
            generic.config_body,
            b"CriuImagePath = \"/i\\\"\"\nRoot = \"/r\"\n"
        );
        let other = Any {
            type_url: "other".into(),
            value: vec![],
        };
        assert!(with_images(Some(other), "/i").is_err());
    }

    #[test]
    fn another_id_has_another_cgroup() {
        let path = |path: &str| {
            let spec = json!({"linux": {"cgroupsPath": path}});
            let mut container = Container::new("a", Runtime::default(), spec);
            rename(&mut container, "b");
            container.spec["linux"]["cgroupsPath"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(path("/default/a"), "/default/b");
        assert_eq!(path("system.slice:nerdctl:a"), "system.slice:nerdctl:b");
        assert_eq!(path("/default/ba"), "/default/ba");
    }
}

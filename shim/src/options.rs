//! The runtime options (`containerd.runc.v1.Options`) of a container, kept in its bundle so that
//! `delete`, which runs after the shim has died, uses the same ones.

mod annotated;
mod generic;

use std::{io, path::Path};

use containerd_shim_protos::{
    protobuf::{Message, well_known_types::any::Any},
    shim::oci,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The file's name; the Go shim uses the same and, for these fields, the same format.
const FILE_NAME: &str = "options.json";

/// The options that this shim heeds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    /// MS_MOVE instead of pivot_root(2).
    pub(crate) no_pivot_root: bool,
    /// Keep the caller's session keyring.
    pub(crate) no_new_keyring: bool,
    /// The cgroup to put the shim in.
    pub(crate) shim_cgroup: String,
    /// Owner of the process's pipes.
    pub(crate) io_uid: u32,
    /// Group of the process's pipes.
    pub(crate) io_gid: u32,
    /// The runtime's program.
    pub(crate) binary_name: String,
    /// The runtime's state directory.
    pub(crate) root: String,
    /// cgroups through systemd.
    pub(crate) systemd_cgroup: bool,
    /// A checkpoint to restore from.
    pub(crate) criu_image_path: String,
    /// CRIU's working directory at restore.
    pub(crate) criu_work_path: String,
}

/// Options that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum OptionsError {
    /// None of the types of options for this.
    #[error(
        "runtime options of type {type_url:?} are not understood; \
         use containerd.runc.v1.Options, or runtimeoptions.v1.Options with the same settings in TOML"
    )]
    Type {
        /// What came.
        type_url: String,
    },
    /// Bytes that do not decode.
    #[error("cannot decode {type_url}")]
    Decode {
        /// What they claim to be.
        type_url: String,
        /// Where they go wrong.
        #[source]
        source: containerd_shim_protos::protobuf::Error,
    },
    /// The same, of the first runtime's options.
    #[error("cannot decode {type_url}")]
    DecodeOlder {
        /// What they claim to be.
        type_url: String,
        /// Where they go wrong.
        #[source]
        source: prost::DecodeError,
    },
    /// Settings in TOML.
    #[error("the runtime options in {place} cannot be used")]
    Toml {
        /// Where they stand.
        place: String,
        /// What is wrong.
        #[source]
        source: generic::TomlError,
    },
    /// An annotation.
    #[error("annotation {annotation}: {value:?} {problem}")]
    Annotation {
        /// Its name.
        annotation: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// The file in the bundle.
    #[error("cannot read or write {path}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Decodes `any` if it is an `M`: containerd writes bare names, others a URL before them.
///
/// # Errors
/// [`OptionsError`]. An absent or empty Any is no error but `None`: a client that has no
/// options sends one.
pub(crate) fn decode<M: Message>(any: Option<&Any>, name: &str) -> Result<Option<M>, OptionsError> {
    let Some(any) = any.filter(|any| !any.type_url.is_empty() || !any.value.is_empty()) else {
        return Ok(None);
    };
    let type_url = || any.type_url.clone();
    if any.type_url.rsplit('/').next() != Some(name) {
        return Err(OptionsError::Type {
            type_url: type_url(),
        });
    }
    M::parse_from_bytes(&any.value)
        .map(Some)
        .map_err(|source| OptionsError::Decode {
            type_url: type_url(),
            source,
        })
}

impl Options {
    /// The options of a create request.
    ///
    /// # Errors
    /// See [`decode`].
    pub(crate) fn from_any(any: Option<&Any>) -> Result<Self, OptionsError> {
        if let Some(older) = any.and_then(older_options) {
            return older;
        }
        if let Some(generic) = any.and_then(generic::decode) {
            return generic;
        }
        let message = decode::<oci::Options>(any, "containerd.runc.v1.Options")?;
        Ok(message.map(Self::from).unwrap_or_default())
    }

    /// Keeps them in `bundle`.
    ///
    /// # Errors
    /// [`OptionsError::File`].
    pub(crate) fn save(&self, bundle: &Path) -> Result<(), OptionsError> {
        let path = bundle.join(FILE_NAME);
        serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|bytes| std::fs::write(&path, bytes))
            .map_err(|source| OptionsError::File { path, source })
    }

    /// Those kept in `bundle`; the defaults if a create never got that far.
    ///
    /// # Errors
    /// [`OptionsError::File`].
    pub(crate) fn load(bundle: &Path) -> Result<Self, OptionsError> {
        let path = bundle.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(OptionsError::File { path, source }),
        };
        serde_json::from_slice(&bytes).map_err(|source| OptionsError::File {
            path,
            source: source.into(),
        })
    }
}

/// What containerd 1.7's client sends about the owner of the pipes, of a container with a user
/// namespace, if the runtime has another name than the stock one (`WithUIDOwner`): options of the
/// first runtime (runtime/linux/runctypes/runc.proto). A shim decides about TCP and the like at the
/// checkpoint.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct OlderOptions {
    #[prost(bool, tag = "1")]
    no_pivot_root: bool,
    #[prost(bool, tag = "8")]
    no_new_keyring: bool,
    #[prost(string, tag = "9")]
    shim_cgroup: String,
    #[prost(uint32, tag = "10")]
    io_uid: u32,
    #[prost(uint32, tag = "11")]
    io_gid: u32,
    #[prost(string, tag = "12")]
    criu_work_path: String,
    #[prost(string, tag = "13")]
    criu_image_path: String,
}

/// Decodes `any` if it is of that type.
fn older_options(any: &Any) -> Option<Result<Options, OptionsError>> {
    let name = any.type_url.rsplit('/').next();
    if name != Some("containerd.linux.runc.CreateOptions") {
        return None;
    }
    let message = <OlderOptions as prost::Message>::decode(&*any.value);
    let message = message.map_err(|source| OptionsError::DecodeOlder {
        type_url: any.type_url.clone(),
        source,
    });
    Some(message.map(|message| Options {
        no_pivot_root: message.no_pivot_root,
        no_new_keyring: message.no_new_keyring,
        shim_cgroup: message.shim_cgroup,
        io_uid: message.io_uid,
        io_gid: message.io_gid,
        criu_image_path: message.criu_image_path,
        criu_work_path: message.criu_work_path,
        ..Options::default()
    }))
}

impl From<oci::Options> for Options {
    fn from(message: oci::Options) -> Self {
        Self {
            no_pivot_root: message.no_pivot_root,
            no_new_keyring: message.no_new_keyring,
            shim_cgroup: message.shim_cgroup,
            io_uid: message.io_uid,
            io_gid: message.io_gid,
            binary_name: message.binary_name,
            root: message.root,
            systemd_cgroup: message.systemd_cgroup,
            criu_image_path: message.criu_image_path,
            criu_work_path: message.criu_work_path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any {
            type_url: type_url.into(),
            value,
            ..Any::default()
        }
    }

    fn message() -> oci::Options {
        oci::Options {
            binary_name: "crun".into(),
            root: "/r".into(),
            systemd_cgroup: true,
            io_uid: 7,
            ..oci::Options::default()
        }
    }

    #[test]
    fn absent_and_empty_options_are_the_defaults() {
        assert_eq!(Options::from_any(None).unwrap(), Options::default());
        let empty = any("", Vec::new());
        assert_eq!(Options::from_any(Some(&empty)).unwrap(), Options::default());
    }

    #[test]
    fn both_forms_of_the_type_url() {
        let value = message().write_to_bytes().unwrap();
        for url in [
            "containerd.runc.v1.Options",
            "type.googleapis.com/containerd.runc.v1.Options",
        ] {
            let options = Options::from_any(Some(&any(url, value.clone()))).unwrap();
            assert_eq!(options.binary_name, "crun");
            assert_eq!(options.root, "/r");
            assert!(options.systemd_cgroup);
            assert_eq!(options.io_uid, 7);
        }
    }

    #[test]
    fn other_types_and_broken_bytes_are_errors() {
        assert!(matches!(
            Options::from_any(Some(&any("some.Options", Vec::new()))),
            Err(OptionsError::Type { .. })
        ));
        assert!(matches!(
            Options::from_any(Some(&any("containerd.runc.v1.Options", vec![0xff]))),
            Err(OptionsError::Decode { .. })
        ));
    }

    #[test]
    fn those_of_the_first_runtime() {
        // no_pivot_root, open_tcp, io_uid and io_gid, as protoc writes them.
        let bytes = vec![8, 1, 16, 1, 80, 0xa0, 0x8d, 6, 88, 5];
        let url = "containerd.linux.runc.CreateOptions";
        let expected = Options {
            no_pivot_root: true,
            io_uid: 100_000,
            io_gid: 5,
            ..Options::default()
        };
        let from = |value| Options::from_any(Some(&any(url, value)));
        assert_eq!(from(bytes).unwrap(), expected);
        assert!(matches!(
            from(vec![0xff]),
            Err(OptionsError::DecodeOlder { .. })
        ));
    }

    #[test]
    fn they_survive_the_shim() {
        let bundle = tempfile::tempdir().unwrap();
        assert_eq!(Options::load(bundle.path()).unwrap(), Options::default());
        let options = Options::from(message());
        options.save(bundle.path()).unwrap();
        assert_eq!(Options::load(bundle.path()).unwrap(), options);
        std::fs::write(bundle.path().join(FILE_NAME), "{").unwrap();
        assert!(Options::load(bundle.path()).is_err());
    }
}

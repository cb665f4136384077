//! `runtimeoptions.v1.Options`: what CRI sends for runtimes of any type but the stock one, and
//! `ctr run --runtime-config-path`. The settings are TOML with the names of the Go structure of
//! `containerd.runc.v1.Options`, in whatever case, as containerd itself reads them for the stock
//! runtime (its `GenerateRuntimeOptions`).

use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use thiserror::Error;
use toml::{Table, Value};

use super::{Options, OptionsError};

/// All settings that there are.
const NAMES: &str = "BinaryName, Root, SystemdCgroup, NoPivotRoot, NoNewKeyring, ShimCgroup, IoUid, \
                     IoGid, CriuImagePath, CriuWorkPath";

/// The message (containerd `api/types/runtimeoptions/v1/api.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct GenericOptions {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    config_path: String,
    #[prost(bytes = "vec", tag = "3")]
    config_body: Vec<u8>,
}

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TomlError {
    /// The file.
    #[error("cannot read it")]
    Read(#[source] std::io::Error),
    /// It is no text.
    #[error("it is not UTF-8")]
    Encoding(#[source] std::str::Utf8Error),
    /// It is no TOML.
    #[error("it is not TOML")]
    Syntax(#[source] toml::de::Error),
    /// No such setting.
    #[error("there is no setting {name:?}; there are {NAMES}")]
    Name {
        /// What stands there.
        name: String,
    },
    /// A setting that containerd has given up.
    #[error("{name} has no effect; put CRIU as `criu` into containerd's PATH, and leave it away")]
    GivenUp {
        /// Its name.
        name: String,
    },
    /// A value of another type.
    #[error("{name} is {found}, and must be {wanted}")]
    Type {
        /// The setting.
        name: String,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
}

/// Decodes `any` if it is of that type.
pub(super) fn decode(any: &Any) -> Option<Result<Options, OptionsError>> {
    let name = any.type_url.rsplit('/').next();
    if name != Some("runtimeoptions.v1.Options") {
        return None;
    }
    let message = <GenericOptions as prost::Message>::decode(&*any.value);
    let message = message.map_err(|source| OptionsError::DecodeOlder {
        type_url: any.type_url.clone(),
        source,
    });
    Some(message.and_then(|message| message.options()))
}

impl GenericOptions {
    fn options(&self) -> Result<Options, OptionsError> {
        let path = PathBuf::from(&self.config_path);
        // The file counts if there is one (its comment in the message).
        let (place, options) = if self.config_path.is_empty() {
            ("config_body".to_owned(), parse(&self.config_body))
        } else {
            (self.config_path.clone(), read(&path))
        };
        options.map_err(|source| OptionsError::Toml { place, source })
    }
}

fn read(path: &Path) -> Result<Options, TomlError> {
    parse(&std::fs::read(path).map_err(TomlError::Read)?)
}

fn parse(bytes: &[u8]) -> Result<Options, TomlError> {
    let text = std::str::from_utf8(bytes).map_err(TomlError::Encoding)?;
    let table: Table = toml::from_str(text).map_err(TomlError::Syntax)?;
    let mut options = Options::default();
    for (name, value) in table {
        set(&mut options, name, value)?;
    }
    Ok(options)
}

fn set(options: &mut Options, name: String, value: Value) -> Result<(), TomlError> {
    let text = match name.to_lowercase().as_str() {
        "binaryname" => &mut options.binary_name,
        "root" => &mut options.root,
        "shimcgroup" => &mut options.shim_cgroup,
        "criuimagepath" => &mut options.criu_image_path,
        "criuworkpath" => &mut options.criu_work_path,
        "nopivotroot" => return boolean(&mut options.no_pivot_root, name, value),
        "nonewkeyring" => return boolean(&mut options.no_new_keyring, name, value),
        "systemdcgroup" => return boolean(&mut options.systemd_cgroup, name, value),
        "iouid" => return number(&mut options.io_uid, name, value),
        "iogid" => return number(&mut options.io_gid, name, value),
        // In every configuration that containerd 1.x has printed.
        "criupath" if value.as_str() == Some("") => return Ok(()),
        "criupath" => return Err(TomlError::GivenUp { name }),
        _ => return Err(TomlError::Name { name }),
    };
    match value {
        Value::String(value) => {
            *text = value;
            Ok(())
        }
        other => Err(wrong(name, &other, "a string")),
    }
}

fn boolean(setting: &mut bool, name: String, value: Value) -> Result<(), TomlError> {
    let Value::Boolean(value) = value else {
        return Err(wrong(name, &value, "true or false"));
    };
    *setting = value;
    Ok(())
}

fn number(setting: &mut u32, name: String, value: Value) -> Result<(), TomlError> {
    let found = value.as_integer().and_then(|value| value.try_into().ok());
    let Some(value) = found else {
        return Err(wrong(name, &value, "a number from 0 to 4294967295"));
    };
    *setting = value;
    Ok(())
}

fn wrong(name: String, value: &Value, wanted: &'static str) -> TomlError {
    TomlError::Type {
        name,
        found: value.to_string(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(message: &GenericOptions) -> Any {
        Any {
            type_url: "runtimeoptions.v1.Options".into(),
            value: prost::Message::encode_to_vec(message),
            ..Any::default()
        }
    }

    fn body(text: &str) -> Result<Options, OptionsError> {
        Options::from_any(Some(&any(&GenericOptions {
            config_body: text.into(),
            ..GenericOptions::default()
        })))
    }

    #[test]
    fn all_settings_of_cri() {
        let text = "BinaryName = \"/usr/bin/crun\"\nCriuPath = \"\"\nCriuImagePath = \"/i\"\n\
                    CriuWorkPath = \"/w\"\nIoGid = 5\nIoUid = 4\nNoNewKeyring = true\n\
                    NoPivotRoot = true\nRoot = \"/r\"\nShimCgroup = \"/s\"\nsystemdCgroup = true\n";
        let expected = Options {
            no_pivot_root: true,
            no_new_keyring: true,
            shim_cgroup: "/s".into(),
            io_uid: 4,
            io_gid: 5,
            binary_name: "/usr/bin/crun".into(),
            root: "/r".into(),
            systemd_cgroup: true,
            criu_image_path: "/i".into(),
            criu_work_path: "/w".into(),
        };
        assert_eq!(body(text).unwrap(), expected);
        assert_eq!(body("").unwrap(), Options::default());
    }

    #[test]
    fn a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runc.toml");
        let message = GenericOptions {
            config_path: path.to_str().unwrap().into(),
            config_body: b"Root = 5".to_vec(),
            ..GenericOptions::default()
        };
        let missing = Options::from_any(Some(&any(&message))).unwrap_err();
        assert!(missing.to_string().contains("runc.toml"));
        std::fs::write(&path, "Root = \"/r\"").unwrap();
        let options = Options::from_any(Some(&any(&message))).unwrap();
        assert_eq!(options.root, "/r");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("SystemdCgroups = true", "\"SystemdCgroups\""),
            ("Root = true", "Root is true, and must be a string"),
            ("IoUid = -1", "IoUid is -1"),
            ("NoPivotRoot = \"yes\"", "must be true or false"),
            ("CriuPath = \"/opt/criu\"", "CriuPath has no effect"),
            ("Root", "not TOML"),
        ] {
            let OptionsError::Toml { source, .. } = body(text).unwrap_err() else {
                panic!("{text}");
            };
            assert!(source.to_string().contains(part), "{text}: {source}");
        }
    }
}

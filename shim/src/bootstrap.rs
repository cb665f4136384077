//! What containerd tells the shim at `start`: through the environment and, at standard input,
//! the runtime options (up to 2.2) or a `BootstrapParams` message (from 2.3).

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use containerd_shim_protos::{
    bootstrap_api::{BootstrapParams, BootstrapResult, LogLevel},
    protobuf::{Message, well_known_types::any::Any},
};

use crate::{args::Flags, options::Options};

/// The environment variable with the socket of containerd's event service.
pub(crate) const TTRPC_ADDRESS: &str = "TTRPC_ADDRESS";

/// As much as containerd's own shims read.
const MAX_INPUT: u64 = 10 << 20;

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A bare address, which every containerd understands and takes for that of a shim with version
    /// 2 of the task service.
    #[default]
    Address,
    /// A `BootstrapResult`, as one who sends a `BootstrapParams` expects.
    Bootstrap,
}

/// The version of the task service in a `BootstrapResult`, and how it is spoken to.
const VERSION: i32 = 3;
const PROTOCOL: &str = "ttrpc";

impl Dialect {
    /// The answer that names `address`.
    ///
    /// # Errors
    /// The message cannot be encoded.
    pub(crate) fn answer(self, address: String) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Address => Ok(address.into_bytes()),
            Self::Bootstrap => {
                let result = BootstrapResult {
                    version: VERSION,
                    address,
                    protocol: PROTOCOL.into(),
                    ..BootstrapResult::default()
                };
                Ok(result.write_to_bytes()?)
            }
        }
    }
}

/// The two forms in one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    /// How containerd wants its answer.
    pub(crate) dialect: Dialect,
    /// containerd's gRPC socket, which the name of the shim's socket is made from.
    pub(crate) address: String,
    /// containerd's event service, if the environment does not say.
    pub(crate) ttrpc_address: Option<OsString>,
    /// Where containerd wants the socket.
    pub(crate) socket_dir: Option<PathBuf>,
    /// Log at debug level.
    pub(crate) debug: bool,
    /// The runtime options.
    pub(crate) options: Options,
}

/// Reads and decodes standard input.
///
/// # Errors
/// When standard input cannot be read. What does not decode counts as absent: all that is
/// needed also comes by flags or with the create request.
pub(crate) fn read(flags: &Flags) -> io::Result<Params> {
    Ok(decode(&read_stdin()?, flags))
}

/// Standard input, unless that is a terminal.
///
/// # Errors
/// What read(2) says.
pub(crate) fn read_stdin() -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    let mut input = Vec::new();
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_INPUT).read_to_end(&mut input)?;
    }
    Ok(input)
}

/// Decodes what was read.
pub(crate) fn decode(input: &[u8], flags: &Flags) -> Params {
    let legacy = Params {
        address: if flags.address.is_empty() {
            env::var("GRPC_ADDRESS").unwrap_or_default()
        } else {
            flags.address.clone()
        },
        debug: flags.debug,
        ..Params::default()
    };
    // An Any decodes as BootstrapParams too: both begin with two length-delimited fields. Only
    // the container's own id and namespace there make it one.
    let params = BootstrapParams::parse_from_bytes(input)
        .ok()
        .filter(|params| params.instance_id == flags.id && params.namespace == flags.namespace);
    let Some(params) = params else {
        let options = Any::parse_from_bytes(input).ok();
        return Params {
            options: Options::from_any(options.as_ref()).unwrap_or_default(),
            ..legacy
        };
    };
    let text = |value: String| Some(value).filter(|value| !value.is_empty());
    let options = params
        .extensions
        .iter()
        .find_map(|extension| Options::from_any(extension.value.as_ref()).ok());
    Params {
        dialect: Dialect::Bootstrap,
        address: text(params.containerd_grpc_address).unwrap_or(legacy.address),
        ttrpc_address: text(params.containerd_ttrpc_address).map(OsString::from),
        socket_dir: params.socket_dir.and_then(text).map(PathBuf::from),
        debug: flags.debug || params.log_level.value() <= LogLevel::LOG_LEVEL_DEBUG as i32,
        options: options.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use containerd_shim_protos::{bootstrap_api::Extension, shim::oci};

    use super::*;

    fn flags() -> Flags {
        Flags {
            id: "c1".into(),
            namespace: "default".into(),
            address: "/run/c.sock".into(),
            ..Flags::default()
        }
    }

    fn options() -> Any {
        let message = oci::Options {
            shim_cgroup: "/shims".into(),
            ..oci::Options::default()
        };
        Any {
            type_url: "containerd.runc.v1.Options".into(),
            value: message.write_to_bytes().unwrap(),
            ..Any::default()
        }
    }

    #[test]
    fn nothing_and_nonsense() {
        for input in [&b""[..], b"\xff\xff", b"\x0a\x00"] {
            let params = decode(input, &flags());
            assert_eq!(params.address, "/run/c.sock");
            assert_eq!(params.options, Options::default());
        }
    }

    #[test]
    fn options_of_2_2_and_before() {
        let params = decode(&options().write_to_bytes().unwrap(), &flags());
        assert_eq!(params.options.shim_cgroup, "/shims");
        assert_eq!(params.socket_dir, None);
        let answer = params.dialect.answer("unix:///s".into()).unwrap();
        assert_eq!(answer, b"unix:///s");
    }

    #[test]
    fn bootstrap_of_2_3() {
        let mut message = BootstrapParams {
            instance_id: "c1".into(),
            namespace: "default".into(),
            containerd_ttrpc_address: "/run/t".into(),
            containerd_grpc_address: "/run/g".into(),
            log_level: LogLevel::LOG_LEVEL_DEBUG.into(),
            socket_dir: Some("/run/s".into()),
            ..BootstrapParams::default()
        };
        message.extensions.push(Extension {
            value: Some(options()).into(),
            ..Extension::default()
        });
        let params = decode(&message.write_to_bytes().unwrap(), &flags());
        assert_eq!(params.address, "/run/g");
        assert_eq!(params.dialect, Dialect::Bootstrap);
        let answer = params.dialect.answer("unix:///s".into()).unwrap();
        let answer = BootstrapResult::parse_from_bytes(&answer).unwrap();
        assert_eq!(
            (
                answer.version,
                answer.address.as_str(),
                answer.protocol.as_str()
            ),
            (3, "unix:///s", "ttrpc")
        );
        assert_eq!(params.ttrpc_address, Some("/run/t".into()));
        assert_eq!(params.socket_dir, Some("/run/s".into()));
        assert!(params.debug);
        assert_eq!(params.options.shim_cgroup, "/shims");
    }
}

//! The command line, as containerd's runtime v2 documentation gives it: Go-style flags (one dash
//! or two), then the action.

use std::{ffi::OsString, path::PathBuf};

use thiserror::Error;

/// What the shim is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start (or find) the serving shim and print its address.
    Start,
    /// Clean up after a shim that died.
    Delete,
    /// Serve the task API; `start` runs this.
    Serve,
    /// Print what this runtime is, as a protobuf `RuntimeInfo`.
    Info,
    /// Print the version.
    Version,
    /// Print the usage.
    Help,
}

/// The flags that come with an action.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Log at debug level.
    pub(crate) debug: bool,
    /// The containerd namespace.
    pub(crate) namespace: String,
    /// The container.
    pub(crate) id: String,
    /// The bundle; the working directory when it is empty.
    pub(crate) bundle: PathBuf,
    /// containerd's own gRPC socket.
    pub(crate) address: String,
}

/// A command line that means nothing.
#[derive(Debug, Error)]
pub(crate) enum ArgsError {
    /// An unknown or incomplete flag.
    #[error("cannot read the command line")]
    Flags(#[source] containerd_shim::Error),
    /// An argument is not UTF-8.
    #[error("argument {0:?} is not UTF-8")]
    Encoding(OsString),
    /// An action that does not exist.
    #[error("no such action: {0:?}; the actions are start and delete")]
    Action(String),
    /// A flag that the action needs.
    #[error("{action} needs -{flag}; containerd passes it")]
    Missing {
        /// The action.
        action: &'static str,
        /// The flag.
        flag: &'static str,
    },
}

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
containerd runtime shim that checkpoints and restores containers with shared memory,
semaphores and deleted files on external mounts.

containerd runs it; there is little use in running it by hand:
  containerd-shim-remap-v2 -namespace NS -id ID -address SOCKET [-bundle DIR] [-debug] ACTION

Actions:
  start      start the shim for a container and print its address
  delete     clean up after a shim that died
  (none)     serve the task API on the socket at standard input (start does this)

Flags:
  -info      read the runtime's options from standard input, print its description
  -v         print the version
  -h         print this text

What a checkpoint of a container would do, `remapctl plan ID` says.

Installation, one of:
  - name it containerd-shim-remap-v2, beside containerd or in its PATH, and choose it with
    ctr run --runtime io.containerd.remap.v2;
  - name it containerd-shim-runc-v2, earlier in containerd's PATH than the stock one: it then
    runs every container, and every client's checkpoint options reach it.
";

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// [`ArgsError`] for what containerd would never pass.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<(Action, Flags), ArgsError> {
    let args = args
        .map(|arg| arg.into_string().map_err(ArgsError::Encoding))
        .collect::<Result<Vec<_>, _>>()?;
    let help = |arg: &String| matches!(arg.as_str(), "-h" | "-help" | "--help");
    if args.iter().any(help) || args.is_empty() {
        return Ok((Action::Help, Flags::default()));
    }
    let parsed = containerd_shim::parse(&args).map_err(ArgsError::Flags)?;
    let flags = Flags {
        debug: parsed.debug,
        namespace: parsed.namespace,
        id: parsed.id,
        bundle: parsed.bundle.into(),
        address: parsed.address,
    };
    let (action, name) = match parsed.action.as_str() {
        _ if parsed.version => return Ok((Action::Version, flags)),
        _ if parsed.info => return Ok((Action::Info, flags)),
        "start" => (Action::Start, "start"),
        "delete" => (Action::Delete, "delete"),
        "" => (Action::Serve, "serving"),
        other => return Err(ArgsError::Action(other.to_owned())),
    };
    let missing = |flag| ArgsError::Missing { action: name, flag };
    if flags.namespace.is_empty() {
        return Err(missing("namespace"));
    }
    // Names of files are made from it.
    if flags.id.is_empty() || flags.id.contains('/') || flags.id.starts_with('.') {
        return Err(missing("id"));
    }
    Ok((action, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Action, Flags), ArgsError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_containerd_passes() {
        let (action, flags) = parsed(
            "-namespace default -address /run/c.sock -publish-binary /usr/bin/containerd \
             -id c1 -debug start",
        )
        .unwrap();
        assert_eq!(action, Action::Start);
        assert_eq!(
            flags,
            Flags {
                debug: true,
                namespace: "default".into(),
                id: "c1".into(),
                bundle: PathBuf::new(),
                address: "/run/c.sock".into(),
            }
        );
        let (action, flags) =
            parsed("-namespace n -address a -publish-binary p -id c1 -bundle /b delete").unwrap();
        assert_eq!(action, Action::Delete);
        assert_eq!(flags.bundle, PathBuf::from("/b"));
        assert_eq!(parsed("-namespace n -id c").unwrap().0, Action::Serve);
    }

    #[test]
    fn for_humans() {
        assert_eq!(parsed("").unwrap().0, Action::Help);
        assert_eq!(parsed("--help").unwrap().0, Action::Help);
        assert_eq!(parsed("-v").unwrap().0, Action::Version);
        assert_eq!(parsed("-info").unwrap().0, Action::Info);
    }

    #[test]
    fn nonsense() {
        assert!(matches!(
            parsed("-id c1 start"),
            Err(ArgsError::Missing { .. })
        ));
        assert!(matches!(
            parsed("-namespace n start"),
            Err(ArgsError::Missing { .. })
        ));
        assert!(matches!(
            parsed("-namespace n -id ../x delete"),
            Err(ArgsError::Missing { .. })
        ));
        assert!(matches!(
            parsed("-namespace n -id c stop"),
            Err(ArgsError::Action(_))
        ));
        assert!(parsed("-nonsense").is_err());
    }
}

//! The OCI bundle: the directory that containerd prepares for a container, with the runtime
//! specification in `config.json`.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use remap_engine::private;
use serde_json::Value;
use thiserror::Error;

use crate::socket;

/// The annotations that put containers into one shim, the first that is set counts. They are
/// those of the Go shim.
const GROUPING: [&str; 2] = [
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
];

/// More than this many bytes are no pid.
const MAX_PID_FILE: u64 = 64;

/// A bundle that cannot be read or written.
#[derive(Debug, Error)]
pub(crate) enum BundleError {
    /// A file in it.
    #[error("cannot use {path} of the bundle")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its `config.json` is no JSON.
    #[error("{path} is not the JSON of an OCI runtime specification")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Its pid file holds no pid.
    #[error("{path} holds no pid: {text:?}")]
    Pid {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
}

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Bundle(PathBuf);

impl Bundle {
    /// The bundle at `path`.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the root file system is mounted.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    /// Where runc writes init's pid.
    pub(crate) fn init_pid_file(&self) -> PathBuf {
        self.0.join("init.pid")
    }

    /// The default of CRIU's working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Keeps the address of the shim that serves the container: containerd 1.7 finds the shim by
    /// this file when it restarts, and `delete` finds the socket of one that died.
    ///
    /// # Errors
    /// [`BundleError::File`].
    pub(crate) fn write_address(&self, socket: &Path) -> Result<(), BundleError> {
        let path = self.address();
        let mut address = OsString::from(socket::SCHEME);
        address.push(socket);
        std::fs::write(&path, address.as_bytes())
            .map_err(|source| BundleError::File { path, source })
    }

    /// The socket that [`Bundle::write_address`] kept.
    ///
    /// # Errors
    /// [`BundleError::File`].
    pub(crate) fn read_address(&self) -> Result<PathBuf, BundleError> {
        let path = self.address();
        let bytes = std::fs::read(&path).map_err(|source| BundleError::File { path, source })?;
        let socket = bytes
            .strip_prefix(socket::SCHEME.as_bytes())
            .map(<[u8]>::to_vec);
        Ok(OsString::from_vec(socket.unwrap_or(bytes)).into())
    }

    fn address(&self) -> PathBuf {
        self.0.join("address")
    }

    /// The specification. It stays a [`Value`], because typed structures drop unknown keys when
    /// they are written back.
    ///
    /// # Errors
    /// [`BundleError`].
    pub(crate) fn config(&self) -> Result<Value, BundleError> {
        let path = self.0.join("config.json");
        let bytes = std::fs::read(&path).map_err(|source| BundleError::File {
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&bytes).map_err(|source| BundleError::Json { path, source })
    }
}

impl Bundle {
    /// Replaces the specification, with the mode that the file has.
    ///
    /// # Errors
    /// [`BundleError::File`]; it is as it was.
    pub(crate) fn write_config(&self, config: &Value) -> Result<(), BundleError> {
        let path = self.0.join("config.json");
        let write = || {
            let mode = std::fs::metadata(&path)?.permissions();
            private::write(&path, &serde_json::to_vec(config)?)?;
            std::fs::set_permissions(&path, mode)
        };
        write().map_err(|source| BundleError::File {
            path: path.clone(),
            source,
        })
    }
}

/// The group of containers that share a shim: named by an annotation, else the container alone.
pub(crate) fn group<'a>(config: &'a Value, id: &'a str) -> &'a str {
    GROUPING
        .iter()
        .find_map(|key| config.get("annotations")?.get(key)?.as_str())
        .filter(|group| !group.is_empty())
        .unwrap_or(id)
}

/// Whether the container's processes outlive its init, because it has no pid namespace of its
/// own (OCI runtime specification, Linux namespaces: no entry, or one with a path). The kernel
/// ends the processes of a pid namespace together with its init (pid_namespaces(7)).
pub(crate) fn shares_pid_namespace(config: &Value) -> bool {
    let namespaces = config
        .get("linux")
        .and_then(|linux| linux.get("namespaces"))
        .and_then(Value::as_array);
    !namespaces.into_iter().flatten().any(|namespace| {
        let text = |key| {
            namespace
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        text("type") == "pid" && text("path").is_empty()
    })
}

/// The pid in a file that runc wrote.
///
/// # Errors
/// [`BundleError`].
pub(crate) fn read_pid(path: &Path) -> Result<u32, BundleError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PID_FILE).read_to_end(&mut bytes))
        .map_err(|source| BundleError::File {
            path: path.to_owned(),
            source,
        })?;
    pid(&bytes).ok_or_else(|| BundleError::Pid {
        path: path.to_owned(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// A pid in digits; 0 is none.
pub(crate) fn pid(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups() {
        assert_eq!(group(&json!({}), "c1"), "c1");
        let pod = json!({"annotations": {"io.kubernetes.cri.sandbox-id": "pod"}});
        assert_eq!(group(&pod, "c1"), "pod");
        let both = json!({"annotations": {
            "io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "g"}});
        assert_eq!(group(&both, "c1"), "g");
        assert_eq!(
            group(
                &json!({"annotations": {"io.containerd.runc.v2.group": 3}}),
                "c1"
            ),
            "c1"
        );
    }

    #[test]
    fn pid_namespaces() {
        let with = |namespaces| json!({"linux": {"namespaces": namespaces}});
        assert!(shares_pid_namespace(&json!({})));
        assert!(shares_pid_namespace(&with(json!([{"type": "mount"}]))));
        assert!(shares_pid_namespace(&with(
            json!([{"type": "pid", "path": "/proc/1/ns/pid"}])
        )));
        assert!(!shares_pid_namespace(&with(
            json!([{"type": "mount"}, {"type": "pid"}])
        )));
    }

    #[test]
    fn addresses() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::new(dir.path());
        assert!(bundle.read_address().is_err());
        bundle.write_address(Path::new("/run/s/x")).unwrap();
        let text = std::fs::read_to_string(dir.path().join("address")).unwrap();
        assert_eq!(text, "unix:///run/s/x");
        assert_eq!(bundle.read_address().unwrap(), Path::new("/run/s/x"));
    }

    #[test]
    fn pid_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        assert!(read_pid(&path).is_err());
        std::fs::write(&path, "42\n").unwrap();
        assert_eq!(read_pid(&path).unwrap(), 42);
        for text in ["", "x", "0", "-1", "4294967296", &"1".repeat(1 << 20)] {
            std::fs::write(&path, text).unwrap();
            let Err(BundleError::Pid { text: shown, .. }) = read_pid(&path) else {
                panic!("{text:?} is a pid");
            };
            assert!(shown.len() <= 64);
        }
    }
}

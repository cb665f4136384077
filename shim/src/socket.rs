//! The shim's socket: where it is, and how to take it over from a shim that is gone.

use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
};

/// What an address begins with.
pub(crate) const SCHEME: &str = "unix://";

/// Where containerd expects the socket of the shim that serves `group`: named by the SHA-256 of
/// `<address>/<namespace>/<group>`, in `directory` if containerd (2.3 on) asks for one.
pub(crate) fn path(
    address: &str,
    namespace: &str,
    group: &str,
    directory: Option<&Path>,
) -> PathBuf {
    let uri = containerd_shim::socket_address(address, namespace, group);
    let path = Path::new(uri.strip_prefix(SCHEME).unwrap_or(&uri));
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

/// Whether a shim answers at `path`.
pub(crate) fn is_alive(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// The socket to serve on, or `None` if a living shim has it already.
///
/// # Errors
/// What the system says; EADDRINUSE if another shim took it meanwhile.
pub(crate) fn bind(path: &Path) -> io::Result<Option<UnixListener>> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match UnixListener::bind(path) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error),
        Err(_) if is_alive(path) => Ok(None),
        Err(_) => {
            remove(path)?;
            UnixListener::bind(path).map(Some)
        }
    }
}

/// Removes the socket; one that is gone is fine.
///
/// # Errors
/// What the system says.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    remap_engine::private::remove_if_exists(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerds_own_name_for_it() {
        let name = "0ddfbd72d02b3551e75f3a0ed90b9965b533401be618f43a568bc522764e0ad0";
        let of = |directory| {
            path(
                "/run/containerd/containerd.sock",
                "default",
                "123",
                directory,
            )
        };
        assert_eq!(of(None), Path::new("/run/containerd/s").join(name));
        assert_eq!(of(Some(Path::new("/d"))), Path::new("/d").join(name));
    }

    #[test]
    fn a_dead_shims_socket_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s/socket");
        let listener = bind(&path).unwrap().unwrap();
        assert!(bind(&path).unwrap().is_none(), "alive");
        drop(listener);
        assert!(path.exists());
        assert!(bind(&path).unwrap().is_some(), "stale");
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}

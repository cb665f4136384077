//! Whether a container comes into a network of the kind that it was saved in.
//!
//! CRIU restores a network namespace if the tasks had one of their own, and else stays in its own, which is
//! the host's (`root_ns_mask`, `restore_task_with_children`). It does not look at what the bundle asks for:
//! runc gives it the bundle's namespace only under the name by which the images ask for it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;
use crate::criu::namespaces::had_own_network;
use crate::network_namespace::NetworkNamespace;
use crate::phase::BoxError;

const OWN: &str = "/proc/self/ns/net";

/// It does not.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    /// CRIU lets no packet pass in the network that it restores into (`network_lock_internal`), by the
    /// way that the images name, so that no option helps.
    #[error(
        "the container was saved with a network of its own, and is to be restored on the host's, where CRIU would let nobody's packets pass meanwhile; restore it with a network of its own (a pod without hostNetwork)"
    )]
    OntoHosts,
    /// Nobody would notice.
    #[error(
        "the container was saved on the host's network, and is to be restored with a network of its own, but CRIU would leave it on the host's; restore it on the host's network (a pod with hostNetwork)"
    )]
    OffHosts,
    /// It is not known.
    #[error("cannot look whether {path} is the host's network")]
    Look {
        /// The namespace, or the images.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Holds the images in `image_dir` against the bundle.
///
/// # Errors
/// See [`NetworkError`]; or the bundle cannot be read.
pub(super) fn check(bundle: &Bundle, image_dir: &Path) -> Result<(), BoxError> {
    // Of images that are damaged CRIU says what is wrong with them.
    let Ok(Some(was_own)) = had_own_network(image_dir) else {
        return Ok(());
    };
    let is_own = match NetworkNamespace::of(&bundle.config()?) {
        NetworkNamespace::New => true,
        NetworkNamespace::At(path) => inode(&path)? != inode(Path::new(OWN))?,
    };
    match (was_own, is_own) {
        (true, false) => Err(NetworkError::OntoHosts.into()),
        (false, true) => Err(NetworkError::OffHosts.into()),
        (true, true) | (false, false) => Ok(()),
    }
}

fn inode(namespace: &Path) -> Result<(u64, u64), NetworkError> {
    match std::fs::metadata(namespace) {
        Ok(found) => Ok((found.dev(), found.ino())),
        Err(source) => Err(NetworkError::Look {
            path: namespace.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::namespaces::fake;

    #[test]
    fn the_kind_of_network_stays() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path().join("images");
        std::fs::create_dir(&images).unwrap();
        let outcome = |namespaces: &str| {
            let config = format!(r#"{{"linux":{{"namespaces":[{namespaces}]}}}}"#);
            std::fs::write(dir.path().join("config.json"), config).unwrap();
            let bundle = Bundle {
                path: dir.path().to_owned(),
                mounts: vec![],
                annotations: Default::default(),
            };
            check(&bundle, &images).map_err(|error| *error.downcast::<NetworkError>().unwrap())
        };
        let hosts = r#"{"type":"network","path":"/proc/self/ns/net"}"#;
        // Any other file stands for another namespace.
        let pods = r#"{"type":"network","path":"/proc/self/ns/mnt"}"#;
        let new = r#"{"type":"network"}"#;
        let gone = r#"{"type":"network","path":"/no/such"}"#;
        fake(&images, false);
        assert!(outcome("").is_ok() && outcome(hosts).is_ok());
        for own in [pods, new] {
            assert!(matches!(outcome(own), Err(NetworkError::OffHosts)), "{own}");
        }
        fake(&images, true);
        assert!(outcome(pods).is_ok() && outcome(new).is_ok());
        for host in ["", hosts] {
            assert!(matches!(outcome(host), Err(NetworkError::OntoHosts)));
        }
        assert!(matches!(outcome(gone), Err(NetworkError::Look { .. })));
    }
}

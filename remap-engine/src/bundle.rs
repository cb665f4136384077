//! The OCI bundle: what the container's `config.json` says about mounts and annotations.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A mount that the bundle asks for (OCI runtime spec, config.md, "Mounts").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleMount {
    /// Where it goes in the container, as written.
    pub destination: PathBuf,
    /// The host path that is bound there, if it is a bind mount.
    pub bind_source: Option<PathBuf>,
    /// Whether the mounts below the source come along (`rbind`).
    pub recursive: bool,
}

/// A bundle directory and what was read from its `config.json`.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The bundle directory.
    pub path: PathBuf,
    /// Mounts in the order in which the runtime makes them.
    pub mounts: Vec<BundleMount>,
    /// Annotations of the container.
    pub annotations: HashMap<String, String>,
}

/// `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file is missing, unreadable, or not an OCI runtime configuration.
    #[error("cannot read the OCI configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: oci_spec::OciSpecError,
    },
}

impl Bundle {
    /// Reads `config.json` of the bundle directory `path`.
    ///
    /// # Errors
    /// The file cannot be read or parsed. Nothing is changed.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let config = path.join("config.json");
        let spec =
            oci_spec::runtime::Spec::load(&config).map_err(|source| BundleError::Read {
                path: config,
                source,
            })?;
        let mounts = spec.mounts().iter().flatten().map(bundle_mount).collect();
        Ok(Self {
            path: path.to_owned(),
            mounts,
            annotations: spec.annotations().clone().unwrap_or_default(),
        })
    }

    /// The bind mount at `destination`; the last one counts, as it covers those before it.
    #[must_use]
    pub fn bind_at(&self, destination: &Path) -> Option<&BundleMount> {
        self.mounts
            .iter()
            .rev()
            .find(|mount| mount.destination == destination)
            .filter(|mount| mount.bind_source.is_some())
    }
}

fn bundle_mount(mount: &oci_spec::runtime::Mount) -> BundleMount {
    let has = |name: &str| mount.options().iter().flatten().any(|option| option == name);
    // runc takes a mount for a bind if its type or one of its options says so
    // (libcontainer/specconv createLibcontainerMount).
    let is_bind = mount.typ().as_deref() == Some("bind") || has("bind") || has("rbind");
    BundleMount {
        destination: clean(mount.destination()),
        bind_source: mount.source().clone().filter(|_| is_bind),
        recursive: has("rbind"),
    }
}

/// Removes `.` components, doubled and trailing slashes, and makes the path absolute, so that it
/// compares with a mount point.
fn clean(path: &Path) -> PathBuf {
    Path::new("/").join(path).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(mounts: &str) -> Bundle {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            r#"{{"ociVersion":"1.0.2","mounts":{mounts},"annotations":{{"a":"b"}}}}"#
        );
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        Bundle::load(dir.path()).unwrap()
    }

    #[test]
    fn binds_are_told_by_type_or_option() {
        let bundle = load(
            r#"[{"destination":"/dev/shm/","type":"none","source":"/run/a","options":["rbind","rw"]},
                {"destination":"/tmp","type":"tmpfs","source":"tmpfs"},
                {"destination":"/x","type":"bind","source":"/y"}]"#,
        );
        let shm = bundle.bind_at(Path::new("/dev/shm")).unwrap();
        assert_eq!(shm.bind_source.as_deref(), Some(Path::new("/run/a")));
        assert!(shm.recursive);
        assert!(bundle.bind_at(Path::new("/tmp")).is_none());
        assert!(!bundle.bind_at(Path::new("/x")).unwrap().recursive);
        assert_eq!(bundle.annotations["a"], "b");
    }

    #[test]
    fn a_later_mount_covers_an_earlier_bind() {
        let bundle = load(
            r#"[{"destination":"/m","type":"bind","source":"/a"},
                {"destination":"/m","type":"tmpfs","source":"tmpfs"}]"#,
        );
        assert!(bundle.bind_at(Path::new("/m")).is_none());
    }

    #[test]
    fn a_missing_configuration_names_the_file() {
        let error = Bundle::load(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/config.json"));
    }
}

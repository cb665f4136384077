//! The OCI bundle: what the container's `config.json` says about mounts and annotations.

use std::collections::HashMap;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::criu::config::{self, ANNOTATION, USER_ANNOTATION, UserConfig};
use crate::policy::Policy;
use crate::private;
use crate::workdir::WorkDir;

/// A mount that the bundle asks for (OCI runtime spec, config.md, "Mounts").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleMount {
    /// Where it goes in the container, as written.
    pub destination: PathBuf,
    /// The host path that is bound there, if it is a bind mount.
    pub bind_source: Option<PathBuf>,
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

/// The parts of `config.json` that count here. The rest may hold what this build does not know (a
/// new capability, a new seccomp action), about which the runtime only warns.
#[derive(Deserialize)]
struct Config {
    mounts: Option<Vec<oci_spec::runtime::Mount>>,
    annotations: Option<HashMap<String, String>>,
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
        source: io::Error,
    },
}

/// A bundle cannot be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Its configuration cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// CRIU's configuration cannot be read or written.
    #[error(transparent)]
    Criu(#[from] config::ConfigError),
    /// A file of it cannot be changed.
    #[error("cannot change {path} to make CRIU read the engine's configuration")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Bundle {
    /// Reads `config.json` of the bundle directory `path`.
    ///
    /// # Errors
    /// The file cannot be read or parsed. Nothing is changed.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let config = path.join("config.json");
        let read =
            || -> io::Result<Config> { Ok(serde_json::from_slice(&std::fs::read(&config)?)?) };
        let spec = read().map_err(|source| BundleError::Read {
            path: config.clone(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            mounts: spec.mounts.iter().flatten().map(bundle_mount).collect(),
            annotations: spec.annotations.unwrap_or_default(),
        })
    }

    /// The whole of `config.json`, for what [`Self::load`] leaves out.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn config(&self) -> Result<Value, BundleError> {
        let path = self.path.join("config.json");
        let read = || -> io::Result<Value> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
        read().map_err(|source| BundleError::Read {
            path: path.clone(),
            source,
        })
    }

    /// The user's own value of the annotation that names CRIU's configuration.
    #[must_use]
    pub fn user_criu_config(&self) -> Option<&str> {
        let annotation = if self.is_adopted() {
            USER_ANNOTATION
        } else {
            ANNOTATION
        };
        self.annotations.get(annotation).map(String::as_str)
    }

    /// Whether CRIU reads the engine's configuration for this container: see [`adopt`].
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        let ours = WorkDir::of(&self.path).criu_config();
        self.annotations
            .get(ANNOTATION)
            .is_some_and(|path| Path::new(path) == ours)
    }

    /// The host path whose files the container sees at `destination`, a mount from outside: that of
    /// the bind there, or below the bind above it, by which it came along.
    #[must_use]
    pub fn host_path(&self, destination: &Path) -> Option<PathBuf> {
        if let Some(bind) = self.bind_at(destination) {
            return bind.bind_source.clone();
        }
        let above = destination.ancestors().skip(1);
        let bind = above.filter_map(|path| self.bind_at(path)).next()?;
        let below = destination.strip_prefix(&bind.destination).ok()?;
        Some(bind.bind_source.as_ref()?.join(below))
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

/// Makes CRIU read the engine's configuration file for the container of this bundle, at every
/// dump and restore, and keeps what the user had put there in [`USER_ANNOTATION`].
///
/// Must run before the runtime creates the container: runc remembers the annotations of that
/// moment. A bundle that is adopted already stays as it is. Returns what the bundle says now. Between dumps the file holds just what
/// the user configured, for who calls the runtime by hand.
///
/// # Errors
/// `config.json` cannot be read or replaced, or the user's configuration cannot be read;
/// `config.json` is as it was.
pub fn adopt(bundle: &Path) -> Result<Bundle, AdoptError> {
    let users = Bundle::load(bundle)?;
    let user_config = UserConfig::load(users.user_criu_config())?;
    let work = WorkDir::of(bundle);
    let path = bundle.join("config.json");
    let edit = || -> io::Result<()> {
        let mode = std::fs::metadata(&path)?.permissions();
        // As a JSON value, so that keys which this build does not know survive.
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        point_annotation(&mut config, &work.criu_config().to_string_lossy()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not an object with annotations",
            )
        })?;
        replace(&path, &serde_json::to_vec(&config)?, mode)
    };
    private::create_dir(work.path()).map_err(|source| AdoptError::Config {
        path: work.path().to_owned(),
        source,
    })?;
    let options = Policy::of(&users.annotations).options;
    config::write(&work.criu_config(), &user_config.for_restore(&options, &[]))?;
    edit().map_err(|source| AdoptError::Config {
        path: path.clone(),
        source,
    })?;
    Ok(Bundle::load(bundle)?)
}

fn replace(path: &Path, contents: &[u8], mode: Permissions) -> io::Result<()> {
    private::write(path, contents)?;
    std::fs::set_permissions(path, mode)
}

fn point_annotation(config: &mut Value, ours: &str) -> Option<()> {
    let annotations = config
        .as_object_mut()?
        .entry("annotations")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if annotations.is_null() {
        *annotations = Value::Object(serde_json::Map::new());
    }
    let annotations = annotations.as_object_mut()?;
    let users = annotations.insert(ANNOTATION.to_owned(), ours.into());
    if let Some(users) = users.filter(|users| users != ours) {
        annotations.insert(USER_ANNOTATION.to_owned(), users);
    }
    Some(())
}

fn bundle_mount(mount: &oci_spec::runtime::Mount) -> BundleMount {
    let has = |name: &str| {
        mount
            .options()
            .iter()
            .flatten()
            .any(|option| option == name)
    };
    // runc takes a mount for a bind if its type or one of its options says so
    // (libcontainer/specconv createLibcontainerMount).
    let is_bind = mount.typ().as_deref() == Some("bind") || has("bind") || has("rbind");
    BundleMount {
        destination: clean(mount.destination()),
        bind_source: mount.source().clone().filter(|_| is_bind),
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
        let config =
            format!(r#"{{"ociVersion":"1.0.2","mounts":{mounts},"annotations":{{"a":"b"}}}}"#);
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
        assert!(bundle.bind_at(Path::new("/tmp")).is_none());
        assert!(bundle.bind_at(Path::new("/x")).is_some());
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
    fn adopting_keeps_what_the_user_and_others_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let config = r#"{"ociVersion":"1.0.2","annotations":{"org.criu.config":"/etc/mine"},"x-new":{"y":18446744073709551615}}"#;
        std::fs::write(&path, config).unwrap();
        assert!(!Bundle::load(dir.path()).unwrap().is_adopted());
        for _ in 0..2 {
            adopt(dir.path()).unwrap();
            let bundle = Bundle::load(dir.path()).unwrap();
            assert!(bundle.is_adopted());
            assert_eq!(bundle.user_criu_config(), Some("/etc/mine"));
        }
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains("18446744073709551615")
        );
    }

    #[test]
    fn adopting_without_annotations_leaves_the_default_in_force() {
        for annotations in ["", r#","annotations":null"#, r#","annotations":{}"#] {
            let dir = tempfile::tempdir().unwrap();
            let config = format!(r#"{{"ociVersion":"1.0.2"{annotations}}}"#);
            std::fs::write(dir.path().join("config.json"), config).unwrap();
            adopt(dir.path()).unwrap();
            let bundle = Bundle::load(dir.path()).unwrap();
            assert!(bundle.is_adopted());
            assert_eq!(bundle.user_criu_config(), None);
        }
    }

    #[test]
    fn a_path_below_a_bind_has_its_host_path() {
        let bundle = load(
            r#"[{"destination":"/d","type":"none","source":"/srv","options":["rbind"]},
                {"destination":"/e","type":"bind","source":"/srv/e"}]"#,
        );
        let host = |path: &str| bundle.host_path(Path::new(path));
        assert_eq!(host("/d/a/b"), Some("/srv/a/b".into()));
        assert_eq!(host("/e"), Some("/srv/e".into()));
        assert_eq!(host("/e/a"), Some("/srv/e/a".into()));
        assert_eq!(host("/f"), None);
    }

    #[test]
    fn what_this_build_does_not_know_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"{"process":{"capabilities":{"bounding":["CAP_NEW"]}},"mounts":null}"#;
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        assert_eq!(Bundle::load(dir.path()).unwrap().mounts, []);
    }

    #[test]
    fn a_missing_configuration_names_the_file() {
        let error = Bundle::load(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/config.json"));
    }
}

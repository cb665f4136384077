//! The container that was saved: `remap-container.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::{Versioned, parse};
use super::error::ArchiveError;

/// Name of the document in the plain form of a checkpoint.
pub const CONTAINER_FILE: &str = "remap-container.json";

/// The JSON Schema of the document.
pub const CONTAINER_SCHEMA: &str = include_str!("../../schema/remap-container.json");

/// Version of the format that is written.
const VERSION: u32 = 1;

/// What containerd knows of a container, as far as another host needs it to make the container anew.
///
/// Fields that this build does not know stay when it is read and written again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Version of the format.
    version: u32,
    /// Its id.
    pub id: String,
    /// containerd's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The image that its root is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// By what it is run.
    pub runtime: Runtime,
    /// The OCI runtime specification.
    pub spec: Value,
    /// Labels, those of the image among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Name of the snapshotter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshotter: Option<String>,
    /// The snapshot that its root's was made on: the chain id of its image's layers, as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_parent: Option<String>,
    /// Where its standard streams went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdio: Option<Stdio>,
    /// Extensions of clients, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, Any>,
    /// Options of the dump, as the client sent them (`containerd.runc.v1.CheckpointOptions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_options: Option<Any>,
    /// When it was created, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_unix_seconds: Option<u64>,
    /// When it was saved, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_unix_seconds: Option<u64>,
    /// With what it was saved, by name: `remapctl`, `containerd`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// What this build does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An image by name and by contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name in containerd.
    pub reference: String,
    /// Digest of its index or manifest, such as `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Media type of what has that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Bytes of what has that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Digest of its configuration, which Podman calls the image's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    /// What this build does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A runtime of containerd's, with the options that the container was created with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Such as `io.containerd.runc.v2`.
    pub name: String,
    /// None, if the container was created without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Any>,
    /// What this build does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The standard streams of a task: addresses of FIFOs and logs, as containerd takes them; empty for
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stdio {
    /// Standard input.
    pub stdin: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A message with its type, as protobuf's `Any`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Any {
    /// Its type, as containerd names it.
    pub type_url: String,
    /// The message; base64 in the document.
    #[serde(with = "base64_bytes")]
    pub value: Vec<u8>,
}

impl Container {
    /// One of which nothing else is known.
    #[must_use]
    pub fn new(id: impl Into<String>, runtime: Runtime, spec: Value) -> Self {
        Self {
            version: VERSION,
            id: id.into(),
            namespace: None,
            image: None,
            runtime,
            spec,
            labels: BTreeMap::new(),
            snapshotter: None,
            snapshot_parent: None,
            stdio: None,
            extensions: BTreeMap::new(),
            checkpoint_options: None,
            created_unix_seconds: None,
            saved_unix_seconds: None,
            versions: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is none, or of an unknown version.
    pub fn from_json(text: &[u8]) -> Result<Self, ArchiveError> {
        parse(CONTAINER_FILE, text)
    }

    /// The document.
    ///
    /// # Errors
    /// A map's key is no string, which cannot be.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }
}

impl Image {
    /// One of which nothing else is known.
    #[must_use]
    pub fn named(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            digest: None,
            media_type: None,
            size: None,
            config_digest: None,
            other: Map::new(),
        }
    }
}

impl Versioned for Container {
    const VERSION: u32 = VERSION;
}

/// Bytes as base64 in JSON.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(from)?)
            .map_err(D::Error::custom)
    }
}

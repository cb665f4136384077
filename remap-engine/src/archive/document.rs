//! The list of an archive's files: `remap-archive.json`.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::ArchiveError;
use crate::manifest::FileDigest;

/// Name of the document in the plain form of a checkpoint.
pub const ARCHIVE_FILE: &str = "remap-archive.json";

/// The JSON Schema of the document.
pub const ARCHIVE_SCHEMA: &str = include_str!("../../schema/remap-archive.json");

/// Version of the format that is written.
pub(super) const VERSION: u32 = 1;

/// Every file of the plain form with its digest. It is the same in all layouts.
///
/// The manifest of the engine lists what the engine has written; this lists the manifest, too, and
/// what was added after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Version of the format.
    version: u32,
    /// The files by name (escaped as by [`escape`](crate::text::escape)), without the document.
    pub files: BTreeMap<String, FileDigest>,
    /// With what the archive was made, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// What this build does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Document {
    /// A list of these files.
    #[must_use]
    pub fn new(files: BTreeMap<String, FileDigest>) -> Self {
        Self {
            version: VERSION,
            files,
            versions: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is none, or of an unknown version.
    pub fn from_json(text: &[u8]) -> Result<Self, ArchiveError> {
        parse(ARCHIVE_FILE, text)
    }

    /// The document.
    ///
    /// # Errors
    /// A map's key is no string, which cannot be.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }
}

impl Versioned for Document {
    const VERSION: u32 = VERSION;
}

/// A document that says its version.
pub(super) trait Versioned {
    /// The version that this build reads.
    const VERSION: u32;
}

/// Reads a document, after its version.
pub(super) fn parse<T: Versioned + DeserializeOwned>(
    name: &'static str,
    text: &[u8],
) -> Result<T, ArchiveError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let malformed = |source| ArchiveError::Document { name, source };
    let Version { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != u64::from(T::VERSION) {
        return Err(ArchiveError::Version {
            name,
            found: version,
            known: T::VERSION,
        });
    }
    serde_json::from_slice(text).map_err(malformed)
}

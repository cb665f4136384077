//! The list of an archive's files: `remap-archive.json`.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::error::ArchiveError;
use crate::manifest::FileDigest;

/// Name of the document in the plain form of a checkpoint.
pub const ARCHIVE_FILE: &str = "remap-archive.json";

/// The JSON Schema of the document.
pub const ARCHIVE_SCHEMA: &str = include_str!("../../schema/remap-archive.json");

/// Version of the format that is written.
const VERSION: u32 = 1;

/// Stands for the digest of a document in itself.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Every file of the plain form with its digest. It is the same in all layouts.
///
/// The manifest of the engine lists what the engine has written; this lists the manifest, too, and
/// what was added after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Version of the format.
    version: u32,
    /// SHA-256 of the document, with zeros for these digits.
    own_sha256: String,
    /// The files by name, without the document.
    pub files: BTreeMap<String, FileDigest>,
    /// Files that are in the archive only for other programs, which want to have them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, FileDigest>,
    /// What this build does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Document {
    /// A list of these files.
    pub(super) fn new(
        files: BTreeMap<String, FileDigest>,
        beside: BTreeMap<String, FileDigest>,
    ) -> Self {
        Self {
            version: VERSION,
            own_sha256: NO_DIGEST.to_owned(),
            files,
            beside,
            other: Map::new(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is none, or of an unknown version, or has another digest than it says.
    pub fn from_json(text: &[u8]) -> Result<Self, ArchiveError> {
        let document: Self = parse(ARCHIVE_FILE, text)?;
        let sealed = std::str::from_utf8(text).unwrap_or_default();
        let open = sealed.replacen(&document.own_sha256, NO_DIGEST, 1);
        if document.own_sha256 == format!("{:x}", Sha256::digest(open)) {
            Ok(document)
        } else {
            Err(ArchiveError::Altered(ARCHIVE_FILE))
        }
    }

    /// The document.
    ///
    /// # Errors
    /// A map's key is no string, which cannot be.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let open = Self {
            own_sha256: NO_DIGEST.to_owned(),
            ..self.clone()
        };
        let open = serde_json::to_string_pretty(&open)?;
        let digest = format!("{:x}", Sha256::digest(&open));
        Ok(open.replacen(NO_DIGEST, &digest, 1).into_bytes())
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

//! What an archive is made of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::container::Container;
use super::error::ArchiveError;
use crate::manifest::FileDigest;

/// A checkpoint, and what is to be added to it.
#[derive(Debug)]
pub struct Source<'s> {
    /// The directory with CRIU's images; or the plain form of a checkpoint, of which the documents are
    /// taken where they are not given here.
    pub images: &'s Path,
    /// The container.
    pub container: Option<&'s Container>,
    /// The changes of its root file system.
    pub rootfs_diff: Option<RootfsDiff>,
    /// The image that the container was made of, if it is to come along.
    pub base_image: Option<BaseImage>,
    /// The name of the checkpoint as an image; by default `checkpoint.remap/ID:latest`.
    pub name: Option<&'s str>,
}

/// The changes of a root file system: an OCI layer, compressed or not.
#[derive(Debug)]
pub struct RootfsDiff {
    /// Its media type, such as `application/vnd.oci.image.layer.v1.tar+gzip`.
    pub media_type: String,
    /// Its digest, if it is known already: it is not read twice then.
    pub digest: Option<FileDigest>,
    /// Its bytes.
    pub content: Box<dyn Open>,
}

/// An image with all of its blobs.
#[derive(Debug)]
pub struct BaseImage {
    /// Its name.
    pub reference: String,
    /// Its index or manifest, one of the blobs.
    pub target: Descriptor,
    /// Its blobs, each once.
    pub blobs: Vec<Blob>,
}

/// A blob of an image.
#[derive(Debug)]
pub struct Blob {
    /// What it is; digest and size are checked.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Box<dyn Open>,
}

/// An OCI content descriptor (image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Type of the content.
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Bytes of the content.
    pub size: u64,
    /// Free facts about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// `platform` and whatever else there is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Bytes that can be read, once or more often.
pub trait Open: std::fmt::Debug {
    /// From the first on.
    ///
    /// # Errors
    /// They are not there.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;

    /// How many there are.
    ///
    /// # Errors
    /// It cannot be told.
    fn bytes(&self) -> io::Result<u64>;
}

impl Open for PathBuf {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self)?))
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(std::fs::metadata(self)?.len())
    }
}

impl Open for Vec<u8> {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.clone())))
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl Descriptor {
    /// Of a blob with this digest.
    pub(super) fn of(media_type: &str, digest: &FileDigest) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", digest.sha256),
            size: digest.size,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// The digits of its SHA-256; empty, if it has a digest of another kind.
    pub(super) fn hex(&self) -> &str {
        let hex = self.digest.strip_prefix("sha256:").unwrap_or_default();
        let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() == 64 && hex.bytes().all(is_digit) {
            hex
        } else {
            ""
        }
    }
}

impl Source<'_> {
    /// Bytes of all that is to be written, before any compression.
    ///
    /// # Errors
    /// The directory, or what is to be added, cannot be looked at.
    pub fn bytes(&self) -> Result<u64, ArchiveError> {
        let mut sum = 0;
        let list = std::fs::read_dir(self.images);
        for entry in list.map_err(ArchiveError::io("list", self.images))? {
            let entry = entry.map_err(ArchiveError::io("list", self.images))?;
            let metadata = entry.metadata();
            let metadata = metadata.map_err(ArchiveError::io("stat", entry.path()))?;
            if metadata.is_file() {
                sum += metadata.len();
            }
        }
        let diff = self.rootfs_diff.iter().map(|diff| &diff.content);
        let blobs = self.base_image.iter().flat_map(|image| &image.blobs);
        for content in diff.chain(blobs.map(|blob| &blob.content)) {
            let bytes = content.bytes();
            sum += bytes.map_err(ArchiveError::io("measure", format!("{content:?}")))?;
        }
        Ok(sum)
    }
}

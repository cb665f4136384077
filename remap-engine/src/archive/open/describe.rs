//! What the documents of an archive say.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Entry;
use super::problem::damaged;
use crate::archive::container::{CONTAINER_FILE, Container, Image, Runtime};
use crate::archive::document::{ARCHIVE_FILE, Document};
use crate::archive::error::{ArchiveError, Fault, Faults};
use crate::archive::foreign::{CONFIG_DUMP, SPEC_DUMP};
use crate::archive::name;
use crate::manifest::{self, FileDigest, Manifest};

/// Longest document that is read, in bytes.
pub(super) const LIMIT: u64 = 16 << 20;

/// The documents of an archive: of the plain form, and beside it.
pub(super) const DOCUMENTS: [&str; 5] = [
    ARCHIVE_FILE,
    CONTAINER_FILE,
    manifest::FILE_NAME,
    CONFIG_DUMP,
    SPEC_DUMP,
];

/// What was found of an archive so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Texts of documents by their names.
    pub(super) texts: BTreeMap<String, Vec<u8>>,
    /// Files of the plain form by their names, with their lengths in bytes.
    pub(super) sizes: BTreeMap<String, u64>,
}

/// What it is.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) entries: Vec<Entry>,
    pub(super) container: Option<Container>,
    pub(super) manifest: Option<Manifest>,
    pub(super) document: Option<Document>,
}

/// As much of Podman's `ContainerConfig` as is understood.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigDump {
    id: String,
    runtime: String,
    #[serde(rename = "rootfsImageName")]
    image: String,
}

impl Found {
    /// The list of files, if there is one and it has come already.
    pub(super) fn document(&self) -> Result<Option<Document>, ArchiveError> {
        let text = self.texts.get(ARCHIVE_FILE);
        text.map(|text| Document::from_json(text)).transpose()
    }

    /// Whether all listed documents have come.
    pub(super) fn has_all(&self, document: &Document) -> bool {
        let listed = DOCUMENTS.iter();
        let mut listed = listed.filter(|name| document.files.contains_key(**name));
        listed.all(|name| self.texts.contains_key(*name))
    }

    /// Reads the documents; those that are listed have to be what the list says.
    pub(super) fn describe(self, archive: &Path) -> Result<Described, ArchiveError> {
        let document = self.document()?;
        if let Some(document) = &document {
            check(archive, document, &self.texts)?;
        }
        let manifest = match self.texts.get(manifest::FILE_NAME) {
            Some(text) => Some(Manifest::from_json(
                text,
                &archive.join(manifest::FILE_NAME),
            )?),
            None => None,
        };
        let container = match self.texts.get(CONTAINER_FILE) {
            Some(text) => Some(Container::from_json(text)?),
            None => podmans(&self.texts)?,
        };
        let entries = match &document {
            Some(document) => listed(document, &self.texts),
            None => unlisted(archive, self.sizes, manifest.as_ref())?,
        };
        Ok(Described {
            entries,
            container,
            manifest,
            document,
        })
    }
}

/// Holds documents against the list.
fn check(
    archive: &Path,
    document: &Document,
    texts: &BTreeMap<String, Vec<u8>>,
) -> Result<(), ArchiveError> {
    let mut faults = Vec::new();
    let names = document.files.keys().chain(document.beside.keys());
    for name in names.filter(|name| !name::is_plain(name)) {
        faults.push((name, "is no name of a file"));
    }
    for (name, expected) in document.files.iter().chain(&document.beside) {
        if !DOCUMENTS.contains(&name.as_str()) {
            continue;
        }
        match texts.get(name) {
            None if document.files.contains_key(name) => faults.push((name, "is missing")),
            Some(text) if digest(text) != *expected => {
                faults.push((name, "has other contents (SHA-256)"));
            }
            _ => {}
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.into_iter().map(|(name, what)| Fault {
        object: name.clone(),
        what: what.to_owned(),
    });
    Err(ArchiveError::Damaged {
        path: archive.to_owned(),
        faults: Faults(faults.collect()),
    })
}

fn listed(document: &Document, texts: &BTreeMap<String, Vec<u8>>) -> Vec<Entry> {
    let own = texts.get(ARCHIVE_FILE).map(|text| digest(text));
    let own = own.map(|digest| (ARCHIVE_FILE.to_owned(), digest));
    let mut files: BTreeMap<String, FileDigest> = own.into_iter().collect();
    files.extend(document.files.clone());
    let entries = files.into_iter().map(|(name, digest)| Entry {
        name,
        size: digest.size,
        sha256: Some(digest.sha256),
    });
    entries.collect()
}

/// The files that are there, and those that the manifest of the engine wants to be there.
fn unlisted(
    archive: &Path,
    mut sizes: BTreeMap<String, u64>,
    manifest: Option<&Manifest>,
) -> Result<Vec<Entry>, ArchiveError> {
    if !sizes.contains_key("inventory.img") {
        return Err(damaged(archive, "inventory.img", "is missing"));
    }
    let digests = manifest.map(|manifest| &manifest.files);
    let wanted = digests.into_iter().flatten();
    sizes.extend(wanted.map(|(name, digest)| (name.clone(), digest.size)));
    let entries = sizes.into_iter().map(|(name, size)| {
        let digest = digests.and_then(|digests| digests.get(&name));
        Entry {
            sha256: digest.map(|digest| digest.sha256.clone()),
            name,
            size,
        }
    });
    Ok(entries.collect())
}

/// The container of an archive of Podman's, CRI-O's or CRI's.
fn podmans(texts: &BTreeMap<String, Vec<u8>>) -> Result<Option<Container>, ArchiveError> {
    let (Some(config), Some(spec)) = (texts.get(CONFIG_DUMP), texts.get(SPEC_DUMP)) else {
        return Ok(None);
    };
    let bad = |name| move |source| ArchiveError::Document { name, source };
    let config: ConfigDump = serde_json::from_slice(config).map_err(bad(CONFIG_DUMP))?;
    let spec: Value = serde_json::from_slice(spec).map_err(bad(SPEC_DUMP))?;
    let runtime = Runtime {
        name: config.runtime,
        ..Runtime::default()
    };
    let mut container = Container::new(config.id, runtime, spec);
    if !config.image.is_empty() {
        container.image = Some(Image::named(config.image));
    }
    Ok(Some(container))
}

fn digest(text: &[u8]) -> FileDigest {
    FileDigest {
        size: text.len() as u64,
        sha256: format!("{:x}", Sha256::digest(text)),
    }
}

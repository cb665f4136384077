//! Writes and reads the manifest's file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::Deserialize;

use super::{FILE_NAME, Manifest, ManifestError, VERSION, digest};
use crate::private;
use crate::sys;

/// Name of a manifest that is not valid yet.
pub(super) const NEW_NAME: &str = "remap-manifest.json.new";

/// Longest manifest that is read, in bytes: some 100 000 files.
const LIMIT: u64 = 16 << 20;

/// The one field that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Writes the manifest under another name, syncs it and the listed files, then renames it.
///
/// All files are sent to the disk before any is waited for: one commit of the file system's journal
/// then has them all.
pub(super) fn write(manifest: &Manifest, dir: &Path) -> Result<(), ManifestError> {
    let place = dir.join(FILE_NAME);
    let new = dir.join(NEW_NAME);
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|error| ManifestError::io("write", &new)(error.into()))?;
    let result = private::remove_if_exists(&new)
        .and_then(|()| create(&new, &text))
        .map_err(ManifestError::io("write", &new))
        .and_then(|file| sync_all(manifest, dir, (&file, &new)))
        .and_then(|()| std::fs::rename(&new, &place).map_err(ManifestError::io("rename", &new)))
        .and_then(|()| sync(dir));
    if result.is_err() {
        // What cannot be removed either is of no more use than what was there.
        let _ = private::remove_if_exists(&new);
        let _ = private::remove_if_exists(&place);
    }
    result
}

/// Waits until the listed files, the new one and their names are on the disk.
fn sync_all(
    manifest: &Manifest,
    dir: &Path,
    (file, new): (&File, &Path),
) -> Result<(), ManifestError> {
    sys::start_writeback(file, 0, 0);
    for name in manifest.files.keys() {
        sync(&dir.join(digest::file_name(name).unwrap_or_default()))?;
    }
    file.sync_all().map_err(ManifestError::io("sync", new))?;
    sync(dir)
}

/// Reads and checks; `None` when there is no manifest.
pub(super) fn read(dir: &Path) -> Result<Option<Manifest>, ManifestError> {
    let path = dir.join(FILE_NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ManifestError::io("open", path)(error)),
    };
    let mut text = Vec::new();
    let count = file
        .take(LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(ManifestError::io("read", &path))?;
    let malformed = |reason| ManifestError::Malformed {
        path: path.clone(),
        reason,
    };
    if count as u64 > LIMIT {
        return Err(malformed(format!("it is longer than {LIMIT} bytes")));
    }
    let parse_error = |error: serde_json::Error| malformed(error.to_string());
    let Versioned { version } = serde_json::from_slice(&text).map_err(parse_error)?;
    if version != u64::from(VERSION) {
        return Err(ManifestError::Version {
            path,
            found: version,
            known: VERSION,
        });
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(parse_error)?;
    manifest.check(dir)?;
    Ok(Some(manifest))
}

fn create(path: &Path, text: &[u8]) -> io::Result<File> {
    let mut file = private::create_file(path)?;
    file.write_all(text)?;
    Ok(file)
}

fn sync(path: &Path) -> Result<(), ManifestError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(ManifestError::io("sync", path))
}

//! Writes and reads the manifest's file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::{Durability, FILE_NAME, Manifest, ManifestError, VERSION, digest};
use crate::private;
use crate::sys;

/// Name of a manifest that is being written (see [`private::write`]).
pub(super) const NEW_NAME: &str = "remap-manifest.json.new";

/// Longest manifest that is read, in bytes: some 100 000 files.
const LIMIT: u64 = 16 << 20;

/// The one field that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Writes the manifest, and waits until all is on the disk, if it is to be there. Until the host crashes, a manifest means
/// that the files are whole; after a crash in between, their digests tell.
///
/// All files are sent to the disk before any is waited for (the others were when their digests were
/// made): one commit of the file system's journal then has them all, and the names.
pub(super) fn write(
    manifest: &Manifest,
    dir: &Path,
    durability: Durability,
) -> Result<(), ManifestError> {
    let place = dir.join(FILE_NAME);
    let result = serde_json::to_vec_pretty(manifest)
        .map_err(io::Error::from)
        .and_then(|text| private::write(&place, &text))
        .map_err(ManifestError::io("write", &place))
        .and_then(|()| match durability {
            Durability::OnDisk => sync_all(manifest, dir),
            Durability::Volatile => Ok(()),
        });
    if result.is_err() {
        // What cannot be removed either is of no more use than what was there.
        let _ = private::remove_if_exists(&place);
    }
    result
}

/// Waits until the listed files, the manifest and their names are on the disk.
fn sync_all(manifest: &Manifest, dir: &Path) -> Result<(), ManifestError> {
    let place = dir.join(FILE_NAME);
    let file = File::open(&place).map_err(ManifestError::io("sync", &place))?;
    sys::start_writeback(&file, 0, 0);
    for name in manifest.files.keys() {
        sync(&dir.join(digest::file_name(name).unwrap_or_default()))?;
    }
    sync(&place)?;
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
    if count as u64 > LIMIT {
        let reason = format!("it is longer than {LIMIT} bytes");
        return Err(ManifestError::Malformed { path, reason });
    }
    parse(&text, &path).map(Some)
}

/// Reads and checks a manifest's text; its path is for errors.
pub(super) fn parse(text: &[u8], path: &Path) -> Result<Manifest, ManifestError> {
    let malformed = |reason| ManifestError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let parse_error = |error: serde_json::Error| malformed(error.to_string());
    let Versioned { version } = serde_json::from_slice(text).map_err(parse_error)?;
    if version != u64::from(VERSION) {
        return Err(ManifestError::Version {
            path: path.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(parse_error)?;
    manifest.check(path.parent().unwrap_or(path))?;
    Ok(manifest)
}

fn sync(path: &Path) -> Result<(), ManifestError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(ManifestError::io("sync", path))
}

//! The plain form.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::Written;
use super::part::{Part, Parts};
use crate::archive::error::ArchiveError;
use crate::archive::partial::Partial;
use crate::archive::{CHUNK, Progress};
use crate::private;

/// Writes all files into a new directory.
pub(super) fn write(
    parts: &Parts<'_>,
    destination: &Path,
    progress: &mut Progress<'_>,
) -> Result<Written, ArchiveError> {
    let partial = Partial::beside(destination)?;
    let mut bytes = 0;
    for part in &parts.files {
        copy(part, partial.path(), bytes, progress)?;
        bytes += part.digest.size;
    }
    partial.complete(destination)?;
    Ok(Written {
        path: destination.to_owned(),
        bytes,
        target: None,
    })
}

fn copy(
    part: &Part<'_>,
    dir: &Path,
    before: u64,
    progress: &mut Progress<'_>,
) -> Result<(), ArchiveError> {
    let path = dir.join(part.file_name());
    let from = part.content.path();
    let mut reader = part
        .content
        .open()
        .map_err(ArchiveError::io("open", &from))?;
    let mut file = private::create_file(&path).map_err(ArchiveError::io("make", &path))?;
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = reader.read(&mut chunk);
        let count = count.map_err(ArchiveError::io("read", &from))?;
        let Some(read @ [_, ..]) = chunk.get(..count) else {
            break;
        };
        let written = file.write_all(read);
        written.map_err(ArchiveError::io("write", &path))?;
        size += count as u64;
        if progress(before + size).is_break() {
            return Err(ArchiveError::Interrupted);
        }
    }
    if size != part.digest.size {
        let changed = io::Error::other("it has another length than before");
        return Err(ArchiveError::io("read", from)(changed));
    }
    file.sync_all().map_err(ArchiveError::io("sync", path))
}

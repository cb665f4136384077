//! The plain form.

use std::io::Write as _;
use std::path::Path;

use super::Written;
use super::feed::Feed;
use super::part::Part;
use super::parts::Parts;
use crate::archive::error::ArchiveError;
use crate::archive::partial::Partial;
use crate::private;

/// Writes all files into a new directory.
pub(super) fn write(
    parts: &Parts<'_>,
    destination: &Path,
    feed: &mut Feed<'_, '_>,
) -> Result<Written, ArchiveError> {
    let partial = Partial::beside(destination)?;
    for part in &parts.files {
        copy(part, partial.path(), feed)?;
    }
    partial.complete(destination)?;
    Ok(Written {
        path: destination.to_owned(),
        bytes: parts.bytes(),
        target: None,
    })
}

fn copy(part: &Part<'_>, dir: &Path, feed: &mut Feed<'_, '_>) -> Result<(), ArchiveError> {
    let path = dir.join(&part.name);
    let mut file = private::create_file(&path).map_err(ArchiveError::io("make", &path))?;
    feed.part(part, &mut |piece| {
        let written = file.write_all(piece.bytes());
        written.map_err(ArchiveError::io("write", &path))
    })?;
    file.sync_all().map_err(ArchiveError::io("sync", path))
}

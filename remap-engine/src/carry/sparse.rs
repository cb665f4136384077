//! Where a file holds data: asking the file system, and the map in the archive.
//!
//! The map is GNU tar's sparse format 1.0 (GNU tar manual, "PAX Format, Version
//! 1.0"): decimal numbers, one a line, in front of the data: how many extents,
//! then offset and length of each, padded to a tar block.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

use super::entry::Extent;

/// Most extents kept for one file. A file with more keeps its first holes; the
/// rest is stored as data.
const MAX_EXTENTS: usize = 1 << 24;

/// Finds the data of a file of `size` bytes by SEEK_DATA and SEEK_HOLE (lseek(2)).
pub(super) fn probe(file: &File, size: u64) -> io::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match seek(file, position, Whence::SeekData)? {
            Some(start) if start < size => start,
            _ => break,
        };
        let end = match seek(file, start, Whence::SeekHole)? {
            Some(end) if extents.len() + 1 < MAX_EXTENTS => end.min(size),
            _ => size,
        };
        extents.push(Extent {
            offset: start,
            length: end.saturating_sub(start),
        });
        position = end.max(start + 1);
    }
    Ok(extents)
}

/// `None` when nothing follows (`ENXIO`).
fn seek(file: &File, position: u64, whence: Whence) -> io::Result<Option<u64>> {
    let position = i64::try_from(position).map_err(io::Error::other)?;
    match lseek64(file, position, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// True when the extents leave a part of the file without data.
pub(super) fn has_holes(extents: &[Extent], size: u64) -> bool {
    data_bytes(extents) < size
}

/// Bytes of data in the extents.
pub(super) fn data_bytes(extents: &[Extent]) -> u64 {
    extents
        .iter()
        .fold(0, |sum, extent| sum.saturating_add(extent.length))
}

/// The map as text, not yet padded.
pub(super) fn map(extents: &[Extent], size: u64) -> String {
    // GNU tar extends the file over a last hole only for an empty extent at its end.
    let end = extents.last().map_or(0, |last| last.offset + last.length);
    let tail = (end < size).then_some(Extent {
        offset: size,
        length: 0,
    });
    let mut text = format!("{}\n", extents.len() + usize::from(tail.is_some()));
    for extent in extents.iter().chain(&tail) {
        text.push_str(&format!("{}\n{}\n", extent.offset, extent.length));
    }
    text
}

/// Reads a map by its numbers; `None` when they are not those of a file of
/// `size` bytes (unordered, overlapping, beyond the end, too many).
pub(super) fn parse(
    mut number: impl FnMut() -> io::Result<Option<u64>>,
    size: u64,
) -> io::Result<Option<Vec<Extent>>> {
    let Some(count) = number()? else {
        return Ok(None);
    };
    if count > MAX_EXTENTS as u64 + 1 {
        return Ok(None);
    }
    let mut extents = Vec::new();
    let mut end = 0;
    for _ in 0..count {
        let (Some(offset), Some(length)) = (number()?, number()?) else {
            return Ok(None);
        };
        match offset.checked_add(length) {
            Some(next) if offset >= end && next <= size => end = next,
            _ => return Ok(None),
        }
        if length > 0 {
            extents.push(Extent { offset, length });
        }
    }
    Ok(Some(extents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    fn numbers(text: &str) -> impl FnMut() -> io::Result<Option<u64>> {
        let mut lines = text
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter();
        move || Ok(lines.next().and_then(|line| line.parse().ok()))
    }

    #[test]
    fn data_and_holes_are_found() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(512 << 20).unwrap();
        assert_eq!(probe(&file, 512 << 20).unwrap(), []);
        file.write_all_at(b"x", 1 << 20).unwrap();
        let extents = probe(&file, 512 << 20).unwrap();
        assert_eq!(extents.len(), 1);
        assert_eq!(extents[0].offset, 1 << 20);
        assert!(extents[0].length < 1 << 20);
        let text = map(&extents, 512 << 20);
        assert_eq!(parse(numbers(&text), 512 << 20).unwrap(), Some(extents));
    }

    #[test]
    fn bad_maps_are_refused() {
        for bad in [
            "",
            "1\n",
            "1\n0\n11\n",
            "2\n5\n2\n6\n1\n",
            "99999999999\n",
            "1\n-1\n2\n",
        ] {
            assert_eq!(parse(numbers(bad), 10).unwrap(), None, "{bad:?}");
        }
        assert_eq!(parse(numbers("1\n10\n0\n"), 10).unwrap(), Some(vec![]));
    }
}

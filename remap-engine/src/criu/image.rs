//! The container format of CRIU's image files.
//!
//! Little-endian: a common magic, the magic of the image's type, then entries of a 32-bit length
//! and a protobuf message (CRIU `criu/include/magic.h`, `image.c`). The inventory carries its own
//! magic only.

use std::io::Read;
use std::path::{Path, PathBuf};

/// First word of every image but the inventory (`IMG_COMMON_MAGIC`).
const COMMON_MAGIC: u32 = 0x5456_4319;

/// No message is larger than this many bytes; a longer one means a damaged file.
const MAX_ENTRY_BYTES: u32 = 64 << 20;

/// Second word of the image files that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Magic {
    /// `files.img`.
    Files = 0x5630_3138,
    /// `remap-fpath.img`.
    RemapFpath = 0x5913_3954,
}

/// An image file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read.
    #[error("cannot read the image {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no image of the expected type.
    #[error("{path} is no CRIU image of type {expected:?}: it begins with {found:08x?}")]
    Magic {
        /// The file.
        path: PathBuf,
        /// The type that its name promises.
        expected: Magic,
        /// Its first words.
        found: [u32; 2],
    },
    /// It ends within an entry, or an entry is longer than any message can be.
    #[error("the image {path} is damaged: entry {entry} has {bytes} bytes, and {left} are left")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the entry, from 0.
        entry: usize,
        /// Length that it claims.
        bytes: u32,
        /// Bytes that follow.
        left: usize,
    },
    /// An entry is no valid message.
    #[error("entry {entry} of the image {path} is no valid message")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Number of the entry, from 0.
        entry: usize,
        /// Why.
        #[source]
        source: prost::DecodeError,
    },
}

/// Reads all entries of an image file.
///
/// # Errors
/// See [`ImageError`]; nothing is skipped.
pub fn read<M: prost::Message + Default>(path: &Path, magic: Magic) -> Result<Vec<M>, ImageError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| ImageError::Read {
            path: path.to_owned(),
            source,
        })?;
    parse(path, &bytes, magic)
}

fn parse<M: prost::Message + Default>(
    path: &Path,
    bytes: &[u8],
    magic: Magic,
) -> Result<Vec<M>, ImageError> {
    let (found, mut rest) = match (word(bytes), word(bytes.get(4..).unwrap_or_default())) {
        (Some((common, _)), Some((kind, rest))) => ([common, kind], rest),
        _ => ([0, 0], bytes),
    };
    if found != [COMMON_MAGIC, magic as u32] {
        return Err(ImageError::Magic {
            path: path.to_owned(),
            expected: magic,
            found,
        });
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let entry = entries.len();
        let (length, after) = word(rest).unwrap_or((u32::MAX, &[]));
        let message = usize::try_from(length)
            .ok()
            .filter(|_| length <= MAX_ENTRY_BYTES)
            .and_then(|length| after.split_at_checked(length));
        let Some((message, after)) = message else {
            return Err(ImageError::Damaged {
                path: path.to_owned(),
                entry,
                bytes: length,
                left: after.len(),
            });
        };
        entries.push(M::decode(message).map_err(|source| ImageError::Decode {
            path: path.to_owned(),
            entry,
            source,
        })?);
        rest = after;
    }
    Ok(entries)
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::files::RemapFilePathEntry;
    use proptest::prelude::*;
    use prost::Message;

    fn image(entries: &[RemapFilePathEntry]) -> Vec<u8> {
        let mut bytes = COMMON_MAGIC.to_le_bytes().to_vec();
        bytes.extend((Magic::RemapFpath as u32).to_le_bytes());
        for entry in entries {
            let message = entry.encode_to_vec();
            bytes.extend(u32::try_from(message.len()).unwrap().to_le_bytes());
            bytes.extend(message);
        }
        bytes
    }

    fn parse_remaps(bytes: &[u8]) -> Result<Vec<RemapFilePathEntry>, ImageError> {
        parse(Path::new("remap-fpath.img"), bytes, Magic::RemapFpath)
    }

    fn entry(orig_id: u32) -> RemapFilePathEntry {
        RemapFilePathEntry {
            orig_id,
            remap_id: 7,
            remap_type: Some(1),
        }
    }

    #[test]
    fn entries_come_back() {
        let entries = [entry(1), entry(2)];
        assert_eq!(parse_remaps(&image(&entries)).unwrap(), entries);
        assert_eq!(parse_remaps(&image(&[])).unwrap(), []);
    }

    #[test]
    fn every_truncation_is_noticed_or_leaves_whole_entries() {
        let whole = image(&[entry(1), entry(2)]);
        let boundaries = [8, image(&[entry(1)]).len(), whole.len()];
        for length in 0..=whole.len() {
            let result = parse_remaps(&whole[..length]);
            assert_eq!(result.is_ok(), boundaries.contains(&length), "{length}");
        }
    }

    #[test]
    fn another_type_is_refused_with_the_path() {
        let error = parse::<RemapFilePathEntry>(Path::new("x.img"), &image(&[]), Magic::Files);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("x.img is no CRIU image of type Files")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_remaps(&bytes);
            let mut headed = image(&[]);
            headed.extend(bytes);
            let _ = parse_remaps(&headed);
        }
    }
}

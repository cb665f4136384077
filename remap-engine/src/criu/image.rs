//! The container format of CRIU's image files.
//!
//! Little-endian: a common magic, the magic of the image's type, then entries of a 32-bit length
//! and a protobuf message, in some types followed by bytes of their own (CRIU
//! `criu/include/magic.h`, `image.c`). The inventory carries its own magic only, and so do all
//! images of old dumps.

mod entries;
pub mod wire;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::private;

pub(in crate::criu) use self::entries::put;
pub use self::entries::{Edit, Entries, Format, rewrite};

/// Second word of the image files that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Magic {
    /// `files.img`.
    Files = 0x5630_3138,
    /// `reg-files.img`, of CRIU before 3.4.
    RegFiles = 0x5036_3636,
    /// `unixsk.img`, of CRIU before 3.4.
    UnixSockets = 0x5437_3943,
    /// `remap-fpath.img`.
    RemapFpath = 0x5913_3954,
    /// `ghost-file-ID.img`.
    GhostFile = 0x5258_3605,
    /// `pipes-data.img`.
    PipesData = 0x5645_3709,
    /// `fifo-data.img`.
    FifoData = 0x5933_3054,
    /// `sk-queues.img`.
    SkQueues = 0x5626_4026,
    /// `tcp-stream-ID.img`.
    TcpStream = 0x5146_5506,
    /// `filelocks.img`.
    FileLocks = 0x5432_3616,
    /// `pstree.img`.
    Pstree = 0x5027_3030,
    /// `ids-PID.img`.
    Ids = 0x5443_2030,
    /// `inventory.img`.
    Inventory = 0x5831_3116,
}

/// The bytes that follow a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// There are none.
    None,
    /// As many as the numbers in these fields of it say together.
    Sum(&'static [u32]),
    /// All that is left: there is one message only.
    Rest,
}

impl Magic {
    /// What follows the messages of this type (CRIU `pipes.c`, `sk-queue.c`, `sk-tcp.c`,
    /// `files-reg.c`).
    #[must_use]
    pub fn extra(self) -> Extra {
        match self {
            Self::Files
            | Self::RegFiles
            | Self::UnixSockets
            | Self::RemapFpath
            | Self::FileLocks
            | Self::Pstree
            | Self::Ids
            | Self::Inventory => Extra::None,
            Self::PipesData | Self::FifoData | Self::SkQueues => Extra::Sum(&[2]),
            Self::TcpStream => Extra::Sum(&[1, 3]),
            Self::GhostFile => Extra::Rest,
        }
    }
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
        bytes: u64,
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
    /// An entry is no message at all.
    #[error("entry {entry} of the image {path} is damaged")]
    Fields {
        /// The file.
        path: PathBuf,
        /// Number of the entry, from 0.
        entry: usize,
        /// Why.
        #[source]
        source: wire::WireError,
    },
    /// It cannot be written again.
    #[error("cannot write the image {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Reads all entries of an image file.
///
/// # Errors
/// See [`ImageError`]; nothing is skipped.
pub fn read<M: prost::Message + Default>(path: &Path, magic: Magic) -> Result<Vec<M>, ImageError> {
    let file = File::open(path).map_err(|source| ImageError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, std::io::BufReader::new(file), magic)
}

/// Replaces an image by what `write` makes of it, as a whole, readable by root only. Nothing is
/// synced.
///
/// # Errors
/// That of `write`, or the file cannot be written; the old one is there then.
pub(in crate::criu) fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let cannot_write = |source| ImageError::Write {
        path: temporary.clone(),
        source,
    };
    private::remove_if_exists(&temporary).map_err(cannot_write)?;
    let out = private::create_file(&temporary).map_err(cannot_write)?;
    let mut out = BufWriter::new(out);
    let result = write(&mut out).and_then(|value| {
        out.flush().map_err(cannot_write)?;
        std::fs::rename(&temporary, path).map_err(cannot_write)?;
        Ok(value)
    });
    if result.is_err() {
        private::remove_if_exists(&temporary).map_err(cannot_write)?;
    }
    result
}

fn parse<M: prost::Message + Default>(
    path: &Path,
    reader: impl std::io::Read,
    magic: Magic,
) -> Result<Vec<M>, ImageError> {
    let mut from = Entries::new(path, magic, reader)?;
    let mut entries = Vec::new();
    while let Some(message) = from.message()? {
        let decoded = M::decode(message.as_slice()).map_err(|source| ImageError::Decode {
            path: path.to_owned(),
            entry: entries.len(),
            source,
        })?;
        from.extra(&message, &mut std::io::sink())?;
        entries.push(decoded);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::files::RemapFilePathEntry;
    use proptest::prelude::*;
    use prost::Message;

    fn image(entries: &[RemapFilePathEntry]) -> Vec<u8> {
        let mut bytes = Format::V1_1.header(Magic::RemapFpath);
        for entry in entries {
            put(&mut bytes, &entry.encode_to_vec()).unwrap();
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
        let bytes = image(&[]);
        let error = parse::<RemapFilePathEntry>(Path::new("x.img"), &*bytes, Magic::Files);
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

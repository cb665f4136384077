//! An image as a stream of entries, read and written one at a time.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Extra, ImageError, Magic, wire};

/// First word of every image but the inventory (`IMG_COMMON_MAGIC`).
const COMMON_MAGIC: u32 = 0x5456_4319;

/// No message is larger than this many bytes; a longer one means a damaged file.
const MAX_ENTRY_BYTES: u32 = 64 << 20;

/// How an image begins: CRIU writes all images of a dump in the same way (`CRTOOLS_IMAGES_V1`,
/// `CRTOOLS_IMAGES_V1_1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With the magic of its type; CRIU before 1.6.
    V1,
    /// With the common magic and that of its type.
    V1_1,
}

impl Format {
    /// The first bytes of an image of this type.
    #[must_use]
    pub fn header(self, magic: Magic) -> Vec<u8> {
        let kind = (magic as u32).to_le_bytes();
        match self {
            Self::V1 => kind.to_vec(),
            Self::V1_1 => [COMMON_MAGIC.to_le_bytes(), kind].concat(),
        }
    }
}

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It stays, byte for byte.
    Keep,
    /// This message takes its place; bytes that follow the old one stay.
    Replace(Vec<u8>),
    /// It goes, with the bytes that follow it.
    Remove,
}

/// The entries of an image. At most one of them is in memory.
#[derive(Debug)]
pub struct Entries<R> {
    path: PathBuf,
    magic: Magic,
    format: Format,
    reader: R,
    /// Number of the entry that is read next.
    next: usize,
}

impl<R: Read> Entries<R> {
    /// Those of the image that `reader` gives; `path` is its name for messages.
    ///
    /// # Errors
    /// It is no image of this type.
    pub fn new(path: &Path, magic: Magic, mut reader: R) -> Result<Self, ImageError> {
        let read = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let word = |reader: &mut R| -> Result<u32, ImageError> {
            let bytes = up_to(reader, 4).map_err(read)?;
            let word = bytes.first_chunk().copied().unwrap_or_default();
            Ok(u32::from_le_bytes(word))
        };
        let mut found = [word(&mut reader)?, 0];
        let format = if found == [magic as u32, 0] {
            Format::V1
        } else {
            found = [found[0], word(&mut reader)?];
            Format::V1_1
        };
        if format == Format::V1_1 && found != [COMMON_MAGIC, magic as u32] {
            return Err(ImageError::Magic {
                path: path.to_owned(),
                expected: magic,
                found,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            magic,
            format,
            reader,
            next: 0,
        })
    }

    /// How the image begins.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The next message; `None` at the end. Bytes that follow it are to be read before the next.
    ///
    /// # Errors
    /// The image ends within an entry, or the entry is longer than any message can be.
    pub fn message(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        if self.magic.extra() == Extra::Rest && self.next > 0 {
            return Ok(None);
        }
        let header = up_to(&mut self.reader, 4).map_err(|source| self.cannot_read(source))?;
        if header.is_empty() {
            return Ok(None);
        }
        let Some(length) = header.first_chunk().copied().map(u32::from_le_bytes) else {
            return Err(self.damaged(u64::MAX, header.len()));
        };
        if length > MAX_ENTRY_BYTES {
            return Err(self.damaged(length.into(), 0));
        }
        let message = up_to(&mut self.reader, length.into());
        let message = message.map_err(|source| self.cannot_read(source))?;
        if u32::try_from(message.len()) != Ok(length) {
            return Err(self.damaged(length.into(), message.len()));
        }
        self.next += 1;
        Ok(Some(message))
    }

    /// Copies the bytes that follow `message`, which was read last.
    ///
    /// # Errors
    /// The image ends before, the message is none, or `out` fails.
    pub fn extra(&mut self, message: &[u8], out: &mut impl Write) -> Result<(), ImageError> {
        let wanted = match self.magic.extra() {
            Extra::None => return Ok(()),
            Extra::Rest => u64::MAX,
            Extra::Sum(numbers) => self.sum(message, numbers)?,
        };
        let copied = io::copy(&mut self.reader.by_ref().take(wanted), out);
        let copied = copied.map_err(|source| self.cannot_read(source))?;
        if copied < wanted && wanted != u64::MAX {
            let left = usize::try_from(copied).unwrap_or(usize::MAX);
            return Err(self.damaged(wanted, left));
        }
        Ok(())
    }

    fn sum(&self, message: &[u8], numbers: &[u32]) -> Result<u64, ImageError> {
        let mut sum: u64 = 0;
        for number in numbers {
            let length =
                wire::number(message, *number).map_err(|source| self.no_message(source))?;
            sum = sum.saturating_add(length.unwrap_or(0));
        }
        Ok(sum)
    }

    /// The error of the entry that was read last.
    pub(super) fn no_message(&self, source: wire::WireError) -> ImageError {
        ImageError::Fields {
            path: self.path.clone(),
            entry: self.next.saturating_sub(1),
            source,
        }
    }

    fn cannot_read(&self, source: io::Error) -> ImageError {
        ImageError::Read {
            path: self.path.clone(),
            source,
        }
    }

    fn damaged(&self, bytes: u64, left: usize) -> ImageError {
        ImageError::Damaged {
            path: self.path.clone(),
            entry: self.next,
            bytes,
            left,
        }
    }
}

/// Reads `wanted` bytes, or what there is before the end. Memory grows with what comes, whatever
/// length was promised.
fn up_to(reader: &mut impl Read, wanted: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(wanted).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the image again, entry by entry, as `edit` says of each message, and then `more`.
///
/// # Errors
/// See [`ImageError`]; what has been written is of no use then.
pub fn rewrite<R: Read, W: Write>(
    mut from: Entries<R>,
    to: &mut W,
    mut edit: impl FnMut(&[u8]) -> Result<Edit, wire::WireError>,
    more: impl IntoIterator<Item = Vec<u8>>,
) -> Result<(), ImageError> {
    let path = from.path.clone();
    let cannot_write = |source| ImageError::Write {
        path: path.clone(),
        source,
    };
    let header = from.format.header(from.magic);
    to.write_all(&header).map_err(cannot_write)?;
    while let Some(message) = from.message()? {
        match edit(&message).map_err(|source| from.no_message(source))? {
            Edit::Keep => put(to, &message).map_err(cannot_write)?,
            Edit::Replace(other) => put(to, &other).map_err(cannot_write)?,
            Edit::Remove => {
                from.extra(&message, &mut io::sink())?;
                continue;
            }
        }
        from.extra(&message, to)?;
    }
    for message in more {
        put(to, &message).map_err(cannot_write)?;
    }
    Ok(())
}

/// Writes one entry: its length and the message.
pub(in crate::criu) fn put(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len())
        .ok()
        .filter(|length| *length <= MAX_ENTRY_BYTES)
        .ok_or_else(|| io::Error::other("a message is too long for an image"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAGICS: [Magic; 6] = [
        Magic::Files,
        Magic::RegFiles,
        Magic::RemapFpath,
        Magic::GhostFile,
        Magic::PipesData,
        Magic::TcpStream,
    ];

    /// A message whose extra has `extra` bytes, in each type that has one.
    fn message(magic: Magic, extra: usize) -> Vec<u8> {
        let lengths = match magic.extra() {
            Extra::Sum(numbers) => {
                let first = extra / numbers.len();
                let rest = extra - first * (numbers.len() - 1);
                let lengths = numbers.iter().enumerate();
                lengths
                    .map(|(index, number)| (*number, if index == 0 { rest } else { first } as u64))
                    .collect()
            }
            _ => vec![(2, extra as u64)],
        };
        wire::with_numbers(&[0x08, 1], &lengths).unwrap()
    }

    fn image(magic: Magic, format: Format, extras: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format.header(magic);
        for extra in extras {
            put(&mut bytes, &message(magic, extra.len())).unwrap();
            if magic.extra() != Extra::None {
                bytes.extend(extra);
            }
        }
        bytes
    }

    fn rewritten(
        bytes: &[u8],
        magic: Magic,
        edit: impl FnMut(&[u8]) -> Result<Edit, wire::WireError>,
    ) -> Result<Vec<u8>, ImageError> {
        let mut out = Vec::new();
        let entries = Entries::new(Path::new("x.img"), magic, bytes)?;
        rewrite(entries, &mut out, edit, [])?;
        Ok(out)
    }

    fn any_image() -> impl Strategy<Value = (Magic, Format, Vec<Vec<u8>>)> {
        (
            prop::sample::select(MAGICS.to_vec()),
            prop::sample::select(vec![Format::V1, Format::V1_1]),
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        )
    }

    #[test]
    fn an_entry_is_replaced_and_what_follows_it_stays() {
        let extras = [b"one".to_vec(), b"second".to_vec()];
        let bytes = image(Magic::PipesData, Format::V1_1, &extras);
        let mut number = 0;
        let edited = rewritten(&bytes, Magic::PipesData, |message| {
            number += 1;
            Ok(match number {
                1 => Edit::Remove,
                _ => Edit::Replace(wire::with_numbers(message, &[(1, 9)])?),
            })
        });
        let mut expected = Format::V1_1.header(Magic::PipesData);
        put(&mut expected, &[0x08, 9, 0x10, 6]).unwrap();
        expected.extend(b"second");
        assert_eq!(edited.unwrap(), expected);
    }

    #[test]
    fn an_entry_of_a_lying_length_costs_no_memory() {
        let mut bytes = Format::V1_1.header(Magic::Files);
        bytes.extend(MAX_ENTRY_BYTES.to_le_bytes());
        bytes.extend(b"short");
        let error = rewritten(&bytes, Magic::Files, |_| Ok(Edit::Keep)).unwrap_err();
        assert!(error.to_string().contains("5 are left"), "{error}");
    }

    proptest! {
        #[test]
        fn an_image_rewritten_without_a_change_is_the_same(
            (magic, format, extras) in any_image(),
        ) {
            let bytes = image(magic, format, &extras);
            let same = rewritten(&bytes, magic, |_| Ok(Edit::Keep)).unwrap();
            prop_assert_eq!(same, bytes);
        }

        #[test]
        fn a_truncation_is_an_error_or_leaves_whole_entries(
            (magic, format, extras) in any_image(),
            cut: prop::sample::Index,
        ) {
            let bytes = image(magic, format, &extras);
            let cut = cut.index(bytes.len());
            let result = rewritten(&bytes[..cut], magic, |_| Ok(Edit::Keep));
            let header = format.header(magic).len();
            let whole = (0..=extras.len()).any(|count| {
                image(magic, format, &extras[..count]).len() == cut
            });
            let first = image(magic, format, &extras[..extras.len().min(1)]).len();
            let in_rest = magic.extra() == Extra::Rest
                && extras.first().is_some_and(|extra| cut >= first - extra.len());
            prop_assert_eq!(result.is_ok(), (whole && cut >= header) || in_rest);
            if let Ok(kept) = result {
                prop_assert_eq!(kept.as_slice(), &bytes[..cut]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            magic in prop::sample::select(MAGICS.to_vec()),
        ) {
            let edit = |message: &[u8]| {
                wire::with_numbers(message, &[(2, 7)]).map(Edit::Replace)
            };
            let _ = rewritten(&bytes, magic, edit);
            let headed = [Format::V1_1.header(magic), bytes].concat();
            let _ = rewritten(&headed, magic, edit);
        }
    }
}

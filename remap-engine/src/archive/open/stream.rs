//! Bytes one after the other, out of files, out of parts of files, and unpacked.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

/// log2 of the most bytes that an archive can ask a reader to keep: 32 MiB.
const WINDOW_LOG: u32 = 25;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Reads, and leaves out.
pub(super) trait Stream: Read {
    /// Goes on so many bytes later.
    ///
    /// # Errors
    /// There are not so many.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

/// By what it begins with (RFC 1952, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) fn of(start: &[u8]) -> Self {
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if start.starts_with(&0xFD2F_B528_u32.to_le_bytes()) {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// A file.
struct Plain {
    file: File,
    left: u64,
}

impl Read for Plain {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(room)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

impl Stream for Plain {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(too_early)?;
        let distance = i64::try_from(bytes).map_err(|_| too_early())?;
        self.file.seek(SeekFrom::Current(distance)).map(|_| ())
    }
}

impl<S: Stream> Stream for BufReader<S> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let buffered = self.buffer().len();
        let from_buffer = usize::try_from(bytes).map_or(buffered, |bytes| bytes.min(buffered));
        self.consume(from_buffer);
        match bytes - from_buffer as u64 {
            0 => Ok(()),
            rest => self.get_mut().skip(rest),
        }
    }
}

/// What has to be read to be left out.
struct Sequential<R>(R);

impl<R: Read> Read for Sequential<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl<R: Read> Stream for Sequential<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.0).take(bytes), &mut io::sink())?;
        if skipped == bytes {
            Ok(())
        } else {
            Err(too_early())
        }
    }
}

/// A part of a stream, with its digest if that is wanted.
pub(super) struct Section<'s> {
    from: &'s mut dyn Stream,
    left: u64,
    hash: Option<Sha256>,
}

impl<'s> Section<'s> {
    pub(super) fn new(from: &'s mut dyn Stream, bytes: u64, is_hashed: bool) -> Self {
        Self {
            from,
            left: bytes,
            hash: is_hashed.then(Sha256::new),
        }
    }

    /// Goes to the end, and gives the digest of all of it, if that is wanted.
    pub(super) fn end(&mut self) -> io::Result<Option<String>> {
        let left = self.left;
        self.skip(left)?;
        let digest = self.hash.take();
        Ok(digest.map(|hash| format!("{:x}", hash.finalize())))
    }
}

impl Read for Section<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(room.len(), |left| left.min(room.len()));
        let room = room.get_mut(..wanted).unwrap_or_default();
        let count = self.from.read(room)?;
        if count == 0 && wanted > 0 {
            return Err(too_early());
        }
        self.left -= count as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(room.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

impl Stream for Section<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.left {
            return Err(too_early());
        }
        if self.hash.is_some() {
            return Sequential(self).skip(bytes);
        }
        self.left -= bytes;
        self.from.skip(bytes)
    }
}

/// Opens a file, and unpacks it if it is packed.
pub(super) fn open(path: &Path) -> io::Result<(Box<dyn Stream>, Packing)> {
    let file = File::open(path)?;
    let left = file.metadata()?.len();
    let mut start = [0; 4];
    let count = file.read_at(&mut start, 0)?;
    let packing = Packing::of(start.get(..count).unwrap_or_default());
    let file = BufReader::with_capacity(BUFFER, Plain { file, left });
    Ok((unpack(file, packing)?, packing))
}

/// The part of a stream, unpacked if it is packed.
pub(super) fn unpacked<'s>(
    section: &'s mut Section<'_>,
) -> io::Result<(Box<dyn Stream + 's>, Packing)> {
    let mut buffered = BufReader::with_capacity(BUFFER, Borrowed(section));
    let packing = Packing::of(buffered.fill_buf()?);
    Ok((unpack(buffered, packing)?, packing))
}

fn unpack<'s, S: Stream + 's>(
    from: BufReader<S>,
    packing: Packing,
) -> io::Result<Box<dyn Stream + 's>> {
    Ok(match packing {
        Packing::None => Box::new(from),
        Packing::Gzip => Box::new(Sequential(MultiGzDecoder::new(from))),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(Sequential(decoder))
        }
    })
}

/// A section that somebody else goes on with.
struct Borrowed<'b, 's>(&'b mut Section<'s>);

impl Read for Borrowed<'_, '_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Stream for Borrowed<'_, '_> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.0.skip(bytes)
    }
}

fn too_early() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

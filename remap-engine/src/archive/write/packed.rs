//! zstd, with several threads.

use std::io::{self, Write};

use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use crate::archive::layout::Compression;

/// Bytes that one thread compresses at a time. zstd's own choice takes more memory than it is worth.
const JOB_BYTES: u32 = 2 << 20;

/// log2 of the bytes that a reader has to keep (RFC 8878, 3.1.1.1.2, recommends no more than 8 MiB).
const WINDOW_LOG: u32 = 23;

/// The levels from which on zstd would choose a larger window.
const LEVEL_OF_LARGE_WINDOWS: i32 = 17;

/// A frame in front of `out`, with zstd's own level if none is chosen.
pub(super) fn frame<W: Write>(compression: Compression, out: W) -> io::Result<Encoder<'static, W>> {
    let (level, threads) = match compression {
        Compression::Zstd { level, threads } => (level, threads),
        Compression::None => (0, 0),
    };
    let mut encoder = Encoder::new(out, level)?;
    encoder.include_checksum(true)?;
    if level >= LEVEL_OF_LARGE_WINDOWS {
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    }
    encoder.multithread(match threads {
        0 => std::thread::available_parallelism()
            .map_or(1, usize::from)
            .try_into()
            .unwrap_or(1),
        threads => threads,
    })?;
    encoder.set_parameter(CParameter::JobSize(JOB_BYTES))?;
    Ok(encoder)
}

/// Length of a [`stored_frame`].
pub(super) const STORED_FRAME: usize = 10 + 512;

/// A frame with one block of 512 bytes as they are (RFC 8878, 3.1.1): its length does not depend on
/// them, so that it can be replaced later.
pub(super) fn stored_frame(block: &[u8]) -> Vec<u8> {
    let mut frame = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    // A single segment, whose size is a number of two bytes, from which 256 was subtracted.
    frame.extend([0b0110_0000, 0, 1]);
    // The last block, not compressed, of 512 bytes.
    frame.extend([1, 512_u16.to_le_bytes()[1] << 3, 0]);
    frame.extend(block);
    frame
}

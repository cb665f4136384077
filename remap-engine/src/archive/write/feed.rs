//! Reads what is written, once.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::buffer::{Buffer, Pool};
use super::part::Part;
use crate::archive::Progress;
use crate::archive::error::ArchiveError;

/// Takes what is read.
pub(super) type Output<'o> = dyn FnMut(&Arc<Buffer>) -> Result<(), ArchiveError> + 'o;

/// Gives pieces, and says how far it is.
pub(super) struct Feed<'f, 'p> {
    progress: &'f mut Progress<'p>,
    pool: Pool,
    done: u64,
}

impl<'f, 'p> Feed<'f, 'p> {
    pub(super) fn new(progress: &'f mut Progress<'p>) -> Self {
        Self {
            progress,
            pool: Pool::default(),
            done: 0,
        }
    }

    /// All of a file, which must be as long as is said.
    pub(super) fn part(
        &mut self,
        part: &Part<'_>,
        out: &mut Output<'_>,
    ) -> Result<(), ArchiveError> {
        let path = part.content.path();
        let mut reader = part
            .content
            .open()
            .map_err(ArchiveError::io("open", &path))?;
        self.all(&mut reader, part.digest.size, &path, out)
    }

    /// All that a reader has, which must be so many bytes. `path` is for errors.
    pub(super) fn all(
        &mut self,
        reader: &mut dyn Read,
        size: u64,
        path: &Path,
        out: &mut Output<'_>,
    ) -> Result<(), ArchiveError> {
        let failed = |error| ArchiveError::io("read", path)(error);
        let mut left = size;
        while left > 0 {
            let piece = self.pool.read(reader, left).map_err(failed)?;
            let count = piece.bytes().len() as u64;
            if count == 0 {
                break;
            }
            out(&piece)?;
            left -= count;
            self.done += count;
            if (self.progress)(self.done).is_break() {
                return Err(ArchiveError::Interrupted);
            }
        }
        if left > 0 || reader.read(&mut [0]).map_err(failed)? > 0 {
            let what = format!("it has not {size} bytes any more");
            return Err(failed(io::Error::other(what)));
        }
        Ok(())
    }
}

//! Pieces of files on their way, which more than one thread reads.

use std::io::{self, Read};
use std::sync::Arc;

use crate::archive::CHUNK;

/// A piece.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
}

/// Pieces that are used again when nobody reads them any more. There are as many as are read at the
/// same time, at most.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<Arc<Buffer>>);

impl Buffer {
    /// What is in it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self { bytes, length }
    }
}

impl Pool {
    /// The next bytes, up to `limit` and [`CHUNK`]: fewer only at the end.
    pub(super) fn read(&mut self, from: &mut dyn Read, limit: u64) -> io::Result<Arc<Buffer>> {
        let wanted = usize::try_from(limit).map_or(CHUNK, |limit| limit.min(CHUNK));
        if !self.0.iter_mut().any(|one| Arc::get_mut(one).is_some()) {
            self.0.push(Arc::new(vec![0; CHUNK].into()));
        }
        let mut length = 0;
        for shared in &mut self.0 {
            let Some(buffer) = Arc::get_mut(shared) else {
                continue;
            };
            while let Some(room @ [_, ..]) = buffer.bytes.get_mut(length..wanted) {
                match from.read(room) {
                    Ok(0) => break,
                    Ok(count) => length += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buffer.length = length;
            return Ok(Arc::clone(shared));
        }
        Err(io::Error::other("no room to read into"))
    }
}

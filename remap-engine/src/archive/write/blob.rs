//! One blob after the other, with their digests.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zstd::stream::write::Encoder;

use super::buffer::Buffer;
use super::digesting::Digesting;
use super::feed::Feed;
use super::packed;
use crate::archive::blobs::Blobs;
use crate::archive::error::ArchiveError;
use crate::archive::layout::Compression;
use crate::archive::source::{self, Descriptor};
use crate::manifest::FileDigest;

/// A blob that is being written.
pub(super) struct Blob<'b> {
    blobs: &'b mut dyn Blobs,
    digesting: Digesting,
    /// For errors.
    path: PathBuf,
}

/// A blob that is compressed on its way.
pub(super) struct PackedBlob<'b> {
    blob: Blob<'b>,
    /// The digest of what goes in, which an image's configuration has to say.
    plain: Digesting,
    encoder: Encoder<'static, Vec<u8>>,
}

impl<'b> Blob<'b> {
    pub(super) fn begin(blobs: &'b mut dyn Blobs, path: &Path) -> Result<Self, ArchiveError> {
        let digesting = blobs.begin().and_then(|()| Digesting::begin());
        Ok(Self {
            digesting: digesting.map_err(ArchiveError::io("write", path))?,
            blobs,
            path: path.to_owned(),
        })
    }

    pub(super) fn push(&mut self, piece: &Arc<Buffer>) -> Result<(), ArchiveError> {
        self.digesting
            .push(piece)
            .and_then(|()| self.blobs.write(piece.bytes()))
            .map_err(ArchiveError::io("write", &self.path))
    }

    pub(super) fn end(self, media_type: &str) -> Result<Descriptor, ArchiveError> {
        let end = || {
            let descriptor = Descriptor::of(media_type, &self.digesting.end()?);
            self.blobs.end(&descriptor)?;
            Ok(descriptor)
        };
        end().map_err(ArchiveError::io("write", self.path))
    }
}

impl<'b> PackedBlob<'b> {
    pub(super) fn begin(
        blobs: &'b mut dyn Blobs,
        path: &Path,
        compression: Compression,
    ) -> Result<Self, ArchiveError> {
        let begin = || {
            let encoder = packed::frame(compression, Vec::new())?;
            Ok((encoder, Digesting::begin()?))
        };
        let (encoder, plain) = begin().map_err(ArchiveError::io("write", path))?;
        Ok(Self {
            blob: Blob::begin(blobs, path)?,
            plain,
            encoder,
        })
    }

    pub(super) fn push(&mut self, piece: &Arc<Buffer>) -> Result<(), ArchiveError> {
        self.plain
            .push(piece)
            .and_then(|()| self.encoder.write_all(piece.bytes()))
            .map_err(ArchiveError::io("write", &self.blob.path))?;
        let packed = std::mem::take(self.encoder.get_mut());
        if packed.is_empty() {
            return Ok(());
        }
        self.blob.push(&Arc::new(packed.into()))
    }

    /// The blob, and the digest of what went in.
    pub(super) fn end(
        mut self,
        media_type: &str,
    ) -> Result<(Descriptor, FileDigest), ArchiveError> {
        let path = self.blob.path.clone();
        let end = self.encoder.finish();
        let end = end.map_err(ArchiveError::io("write", &path))?;
        self.blob.push(&Arc::new(end.into()))?;
        let plain = self.plain.end();
        let plain = plain.map_err(ArchiveError::io("write", path))?;
        Ok((self.blob.end(media_type)?, plain))
    }
}

/// A blob that is in memory.
pub(super) fn put(
    blobs: &mut dyn Blobs,
    path: &Path,
    media_type: &str,
    bytes: Vec<u8>,
) -> Result<Descriptor, ArchiveError> {
    let mut blob = Blob::begin(blobs, path)?;
    blob.push(&Arc::new(bytes.into()))?;
    blob.end(media_type)
}

/// A blob of another image, which must be what is said.
pub(super) fn copy(
    blobs: &mut dyn Blobs,
    path: &Path,
    from: &source::Blob,
    feed: &mut Feed<'_, '_>,
) -> Result<(), ArchiveError> {
    let expected = &from.descriptor;
    let name = Path::new(&expected.digest);
    let mut reader = from
        .content
        .open()
        .map_err(ArchiveError::io("open", name))?;
    let mut blob = Blob::begin(blobs, path)?;
    feed.all(&mut reader, expected.size, name, &mut |piece| {
        blob.push(piece)
    })?;
    let found = blob.end(&expected.media_type)?.digest;
    if found == expected.digest {
        return Ok(());
    }
    let what = format!("the image is damaged: this is {found}");
    Err(ArchiveError::io("read", name)(io::Error::other(what)))
}

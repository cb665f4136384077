//! An OCI image layout in a tar (image-spec, image-layout.md).

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use tar::EntryType;
use zstd::stream::write::Encoder;

use super::packed::{self, STORED_FRAME};
use super::tape::{BLOCK, header, padding};
use crate::archive::blobs::Blobs;
use crate::archive::error::ArchiveError;
use crate::archive::image::{BLOBS, INDEX_FILE, LAYOUT_FILE, layout_text};
use crate::archive::layout::Compression;
use crate::archive::source::Descriptor;
use crate::archive::unnamed::Unnamed;

/// The tar under way.
///
/// A blob's name is its digest, so that its header is written after it; if all is compressed, each
/// header is in a frame of its own for that.
pub(super) struct LayoutFile {
    out: Option<Out>,
    compression: Compression,
    /// Where the blob under way begins.
    begin: u64,
    size: u64,
    digests: BTreeSet<String>,
}

enum Out {
    Between(Unnamed),
    InFrame(Box<Encoder<'static, Unnamed>>),
}

impl LayoutFile {
    pub(super) fn beside(
        destination: &Path,
        compression: Compression,
    ) -> Result<Self, ArchiveError> {
        Ok(Self {
            out: Some(Out::Between(Unnamed::beside(destination)?)),
            compression,
            begin: 0,
            size: 0,
            digests: BTreeSet::new(),
        })
    }

    /// Adds the index, and the end. Gives the length of the file.
    pub(super) fn complete(
        mut self,
        index: &[u8],
        destination: &Path,
    ) -> Result<u64, ArchiveError> {
        let layout = layout_text(index);
        let mut tail = Vec::new();
        for (name, text) in [(INDEX_FILE, index), (LAYOUT_FILE, layout.as_bytes())] {
            tail.extend(header(name, EntryType::Regular, 0o644, text.len() as u64)?);
            tail.extend(text);
            tail.extend(padding(text.len() as u64));
        }
        tail.extend([0; 2 * BLOCK]);
        let end = || {
            self.start_frame()?;
            self.put(&tail)?;
            self.end_frame()
        };
        let mut end = end;
        let file = end().map_err(ArchiveError::io("write", destination))?;
        file.complete()
    }

    /// What is written from now on is compressed, if anything is.
    fn start_frame(&mut self) -> io::Result<()> {
        let file = match self.out.take() {
            Some(Out::Between(file)) => file,
            _ => return Err(out_of_order()),
        };
        self.out = Some(match self.compression {
            Compression::None => Out::Between(file),
            compression @ Compression::Zstd { .. } => {
                Out::InFrame(Box::new(packed::frame(compression, file)?))
            }
        });
        Ok(())
    }

    /// No more of that. Gives the file, which is to be put back.
    fn end_frame(&mut self) -> io::Result<Unnamed> {
        match self.out.take() {
            Some(Out::Between(file)) => Ok(file),
            Some(Out::InFrame(encoder)) => encoder.finish(),
            None => Err(out_of_order()),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.out {
            Some(Out::Between(file)) => file.write_all(bytes),
            Some(Out::InFrame(encoder)) => encoder.write_all(bytes),
            None => Err(out_of_order()),
        }
    }

    /// A header as it is in the file.
    fn stored(&self, header: Vec<u8>) -> Vec<u8> {
        match self.compression {
            Compression::None => header,
            Compression::Zstd { .. } => packed::stored_frame(&header),
        }
    }
}

impl Blobs for LayoutFile {
    fn begin(&mut self) -> io::Result<()> {
        let Some(Out::Between(file)) = &mut self.out else {
            return Err(out_of_order());
        };
        self.begin = file.position();
        self.size = 0;
        let room = match self.compression {
            Compression::None => BLOCK,
            Compression::Zstd { .. } => STORED_FRAME,
        };
        // Not zeros: they would become a hole, and whoever reads half a file should find nonsense.
        file.write_all(&vec![b'?'; room])?;
        self.start_frame()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.put(bytes)
    }

    fn end(&mut self, blob: &Descriptor) -> io::Result<()> {
        self.put(&padding(self.size))?;
        let mut file = self.end_frame()?;
        if self.digests.insert(blob.digest.clone()) {
            let name = format!("{BLOBS}{}", blob.hex());
            let header = header(&name, EntryType::Regular, 0o444, self.size);
            let header = header.map_err(io::Error::other)?;
            file.patch(self.begin, &self.stored(header))?;
        } else {
            file.truncate(self.begin)?;
        }
        self.out = Some(Out::Between(file));
        Ok(())
    }
}

fn out_of_order() -> io::Error {
    io::Error::other("a blob was begun twice, or has failed before")
}

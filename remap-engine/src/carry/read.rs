//! Reads an archive member by member, trusting nothing in it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::entry::{Attributes, Extent, Node};
use super::error::{ArchiveError, Flaw};
use super::fields::{Fields, device};
use super::write::{BLOCK, ZEROS};
use super::{pax, sparse};

/// One member: what it makes, and where its data starts in the archive.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) path: PathBuf,
    pub(super) node: Node,
    pub(super) attributes: Attributes,
    pub(super) data_offset: u64,
}

/// Reads headers in sequence and skips the data.
pub(super) struct ArchiveReader {
    archive: PathBuf,
    file: BufReader<File>,
    length: u64,
    /// Where the next header starts.
    next: u64,
}

/// A reading failure before it has got the archive's name.
enum Problem {
    Read(io::Error),
    Flaw(Flaw),
}

impl From<Flaw> for Problem {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Flaw(Flaw::Truncated)
        } else {
            Self::Read(error)
        }
    }
}

impl ArchiveReader {
    pub(super) fn open(archive: &Path) -> Result<Self, ArchiveError> {
        let open = || {
            let file = File::open(archive)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let (file, length) = open().map_err(|source| ArchiveError::Read {
            archive: archive.to_owned(),
            source,
        })?;
        Ok(Self {
            archive: archive.to_owned(),
            file: BufReader::with_capacity(64 << 10, file),
            length,
            next: 0,
        })
    }

    /// The archive itself, for positioned reads of a member's data.
    pub(super) fn file(&self) -> &File {
        self.file.get_ref()
    }

    /// Back to the first member.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The next member; `None` at the end mark.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let offset = self.next;
        self.read_member().map_err(|problem| match problem {
            Problem::Read(source) => ArchiveError::Read {
                archive: self.archive.clone(),
                source,
            },
            Problem::Flaw(flaw) => self.malformed(offset, flaw),
        })
    }

    /// An error about the member that starts at `offset`.
    pub(super) fn malformed(&self, offset: u64, flaw: Flaw) -> ArchiveError {
        ArchiveError::Malformed {
            archive: self.archive.clone(),
            offset,
            flaw,
        }
    }

    /// Where the next member starts.
    pub(super) fn offset(&self) -> u64 {
        self.next
    }

    fn read_member(&mut self) -> Result<Option<Member>, Problem> {
        self.seek(self.next)?;
        let Some(mut header) = self.header()? else {
            return Ok(None);
        };
        let mut extended = Vec::new();
        if header.entry_type() == EntryType::XHeader {
            extended = self.extended_header(&header)?;
            header = self.header()?.ok_or(Flaw::Pax)?;
        }
        let records = pax::parse(&extended).ok_or(Flaw::Pax)?;
        let size = header.entry_size().map_err(|_| Flaw::Number("size"))?;
        let start = self.file.stream_position()?;
        let end = start.checked_add(size).ok_or(Flaw::Number("size"))?;
        let next = end
            .checked_next_multiple_of(BLOCK)
            .ok_or(Flaw::Number("size"))?;
        if next > self.length {
            return Err(Flaw::Truncated.into());
        }
        let mut fields = Fields::new(&records)?;
        let path = fields.path(&header)?;
        let node = self.node(&header, &fields, &path, size)?;
        let data_offset = self.file.stream_position()?;
        let attributes = fields.attributes(&header)?;
        self.next = next;
        Ok(Some(Member {
            path,
            node,
            attributes,
            data_offset,
        }))
    }

    /// A header; `None` for the end mark of two blocks of zeros.
    fn header(&mut self) -> Result<Option<Header>, Problem> {
        let mut block = ZEROS;
        self.file.read_exact(&mut block)?;
        if block == ZEROS {
            self.file.read_exact(&mut block)?;
            return if block == ZEROS {
                Ok(None)
            } else {
                Err(Flaw::Checksum.into())
            };
        }
        let header = Header::from_byte_slice(&block).clone();
        let mut summed = header.clone();
        summed.set_cksum();
        if header.cksum().ok() == summed.cksum().ok() {
            Ok(Some(header))
        } else {
            Err(Flaw::Checksum.into())
        }
    }

    fn extended_header(&mut self, header: &Header) -> Result<Vec<u8>, Problem> {
        let size = header.entry_size().map_err(|_| Flaw::Number("size"))?;
        if size > pax::LIMIT as u64 {
            return Err(Flaw::Pax.into());
        }
        let padded = size.next_multiple_of(BLOCK);
        let mut body = Vec::new();
        let count = (&mut self.file).take(padded).read_to_end(&mut body)?;
        if (count as u64) < padded {
            return Err(Flaw::Truncated.into());
        }
        body.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(body)
    }

    fn node(
        &mut self,
        header: &Header,
        fields: &Fields<'_>,
        path: &Path,
        size: u64,
    ) -> Result<Node, Problem> {
        let kind = header.entry_type();
        if size > 0 && kind != EntryType::Regular {
            return Err(Flaw::Data(path.to_owned()).into());
        }
        Ok(match kind {
            EntryType::Directory => Node::Directory,
            EntryType::Regular => self.regular(fields, size)?,
            EntryType::Symlink => Node::Symlink(fields.symlink(header)?),
            EntryType::Fifo if fields.socket => Node::Socket,
            EntryType::Fifo => Node::Fifo,
            EntryType::Char | EntryType::Block => Node::Device {
                block: kind == EntryType::Block,
                major: device(header.device_major())?,
                minor: device(header.device_minor())?,
            },
            EntryType::Link => Node::HardLink(fields.hard_link(header)?),
            other => return Err(Flaw::Type(other.as_byte()).into()),
        })
    }

    fn regular(&mut self, fields: &Fields<'_>, stored: u64) -> Result<Node, Problem> {
        let (size, extents) = match fields.real_size {
            None => {
                let whole = Extent {
                    offset: 0,
                    length: stored,
                };
                (stored, if stored > 0 { vec![whole] } else { Vec::new() })
            }
            Some(size) => {
                let extents = self.sparse_map(size, stored)?;
                (size, extents)
            }
        };
        Ok(Node::Regular {
            size,
            extents,
            reserved: fields.reserved,
        })
    }

    /// Reads the map in front of the data, and leaves the file at the data.
    fn sparse_map(&mut self, size: u64, stored: u64) -> Result<Vec<Extent>, Problem> {
        let mut limited = (&mut self.file).take(stored);
        let mut line = Vec::new();
        let extents = sparse::parse(
            || {
                line.clear();
                // A u64 has at most 20 digits.
                (&mut limited).take(21).read_until(b'\n', &mut line)?;
                Ok(line.strip_suffix(b"\n").and_then(pax::number))
            },
            size,
        )?
        .ok_or(Flaw::Sparse)?;
        let read = stored - limited.limit();
        let map = read.next_multiple_of(BLOCK);
        if i64::try_from(size).is_err() || map + sparse::data_bytes(&extents) != stored {
            return Err(Flaw::Sparse.into());
        }
        let position = self.file.stream_position()?;
        self.seek(position + (map - read))?;
        Ok(extents)
    }

    fn seek(&mut self, to: u64) -> Result<(), Problem> {
        // Keeps what is buffered when the target lies in it.
        let position = self.file.stream_position()?;
        match i64::try_from(i128::from(to) - i128::from(position)) {
            Ok(distance) => self.file.seek_relative(distance)?,
            Err(_) => {
                self.file.seek(SeekFrom::Start(to))?;
            }
        }
        Ok(())
    }
}

//! Reads a tar strictly: files and directories, each once, and nothing that does not belong there.

use std::collections::BTreeSet;
use std::io::Read as _;

use tar::{EntryType, Header};

use super::problem::Problem;
use super::stream::{Section, Stream};
use crate::carry::pax;

const BLOCK: u64 = 512;
const ZEROS: [u8; 512] = [0; 512];

/// Most members.
const MEMBERS: usize = 1 << 20;

/// Longest extended header that is read, in bytes.
const EXTENDED: u64 = 1 << 20;

/// Most zeros behind the end mark, in bytes: tar(1) fills up records, of 10 KiB if nobody wants others.
const TAIL: usize = 1 << 20;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Without `./` in front, and without a slash at the end; empty for the root.
    pub(super) name: String,
    pub(super) is_directory: bool,
    /// Bytes of its data.
    pub(super) size: u64,
}

/// Members, in sequence.
pub(super) struct TarReader<'s> {
    from: &'s mut dyn Stream,
    /// Data of the member that are not read yet, and what fills it up.
    left: u64,
    padding: u64,
    seen: BTreeSet<String>,
}

impl<'s> TarReader<'s> {
    pub(super) fn new(from: &'s mut dyn Stream) -> Self {
        Self {
            from,
            left: 0,
            padding: 0,
            seen: BTreeSet::new(),
        }
    }

    /// The next member; `None` at the end, behind which there is nothing.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Problem> {
        self.from.skip(self.left)?;
        self.left = 0;
        self.pad()?;
        let Some(mut header) = self.header()? else {
            self.tail()?;
            return Ok(None);
        };
        let (mut path, mut size) = (None, None);
        loop {
            let body = match header.entry_type() {
                EntryType::XHeader => {
                    let body = self.extended(&header)?;
                    let records = pax::parse(&body);
                    for (key, value) in records.ok_or_else(|| Problem::bad("has a bad header"))? {
                        match key {
                            b"path" => path = Some(value.to_vec()),
                            b"size" => size = pax::number(value),
                            key if key.starts_with(b"GNU.sparse.") => {
                                return Err(Problem::bad("has a sparse file"));
                            }
                            _ => {}
                        }
                    }
                    body
                }
                EntryType::GNULongName => {
                    let mut body = self.extended(&header)?;
                    while body.last() == Some(&0) {
                        body.pop();
                    }
                    path = Some(body);
                    Vec::new()
                }
                EntryType::XGlobalHeader => self.extended(&header)?,
                _ => break,
            };
            drop(body);
            let next = self.header()?;
            header = next.ok_or_else(|| Problem::bad("ends with half a header"))?;
        }
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = name(&path)?;
        let is_directory = match header.entry_type() {
            EntryType::Regular => false,
            EntryType::Directory => true,
            other => {
                let kind = char::from(other.as_byte());
                let what = format!("has `{name}`, which is no file (type {kind:?})");
                return Err(Problem::Bad(what));
            }
        };
        let size = match size {
            Some(size) => size,
            None => header.entry_size()?,
        };
        if is_directory && size > 0 {
            return Err(Problem::Bad(format!(
                "has the directory `{name}` with data"
            )));
        }
        if self.seen.len() >= MEMBERS {
            return Err(Problem::Bad(format!("has more than {MEMBERS} files")));
        }
        if !self.seen.insert(name.clone()) {
            return Err(Problem::Bad(format!("has `{name}` twice")));
        }
        self.begin(size)?;
        Ok(Some(Member {
            name,
            is_directory,
            size,
        }))
    }

    /// All data of the member.
    pub(super) fn section(&mut self, is_hashed: bool) -> Section<'_> {
        let left = std::mem::take(&mut self.left);
        Section::new(self.from, left, is_hashed)
    }

    /// All data of the member, if it is no longer than that.
    pub(super) fn text(&mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        if self.left > limit {
            return Err(Problem::Bad(format!("is longer than {limit} bytes")));
        }
        let mut text = Vec::new();
        self.section(false).read_to_end(&mut text)?;
        Ok(text)
    }

    /// What follows a header is so long.
    fn begin(&mut self, size: u64) -> Result<(), Problem> {
        let padded = size.checked_next_multiple_of(BLOCK);
        self.left = size;
        self.padding = padded.ok_or_else(|| Problem::bad("has an endless file"))? - size;
        Ok(())
    }

    /// Reads what fills a member up.
    fn pad(&mut self) -> Result<(), Problem> {
        let mut rest = [1; 512];
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or_default();
        let rest = rest.get_mut(..padding).unwrap_or_default();
        self.from.read_exact(rest)?;
        if rest.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(Problem::bad("has something between two files"))
        }
    }

    /// A header; `None` for the end mark of two blocks of zeros.
    fn header(&mut self) -> Result<Option<Header>, Problem> {
        let mut block = ZEROS;
        self.from.read_exact(&mut block)?;
        if block == ZEROS {
            self.from.read_exact(&mut block)?;
            return match block {
                ZEROS => Ok(None),
                _ => Err(Problem::bad("has a bad end")),
            };
        }
        let header = Header::from_byte_slice(&block).clone();
        let mut summed = header.clone();
        summed.set_cksum();
        let is_right = header.cksum().ok() == summed.cksum().ok();
        if is_right && is_checksum(&header.as_old().cksum) {
            Ok(Some(header))
        } else {
            Err(Problem::bad("has a header with another checksum"))
        }
    }

    fn extended(&mut self, header: &Header) -> Result<Vec<u8>, Problem> {
        let size = header.entry_size()?;
        self.begin(size)?;
        let body = self.text(EXTENDED)?;
        self.pad()?;
        Ok(body)
    }

    /// Reads to the end of the file.
    fn tail(&mut self) -> Result<(), Problem> {
        let mut room = ZEROS;
        let mut length = 0;
        loop {
            let count = self.from.read(&mut room)?;
            length += count;
            let is_zero = room.iter().take(count).all(|byte| *byte == 0);
            if count == 0 {
                return Ok(());
            }
            if !is_zero || length > TAIL {
                return Err(Problem::bad("has something behind its end"));
            }
        }
    }
}

/// Whether these are digits as writers of tars write them: two ways to fill up the field are in use.
fn is_checksum(field: &[u8; 8]) -> bool {
    let digits = match field.as_slice() {
        [digits @ .., 0, b' '] => digits,
        [digits @ .., 0] => digits,
        _ => return false,
    };
    digits.iter().all(|digit| matches!(digit, b'0'..=b'7'))
}

/// The name of a member that is below the root.
fn name(path: &[u8]) -> Result<String, Problem> {
    let shown = String::from_utf8_lossy(path).into_owned();
    let outside = || Problem::Bad(format!("has a file with the name {shown:?}"));
    let text = std::str::from_utf8(path).map_err(|_| outside())?;
    let inner = text.strip_suffix('/').unwrap_or(text);
    let inner = match inner {
        "." => "",
        inner => inner.strip_prefix("./").unwrap_or(inner),
    };
    if inner.is_empty() && text.starts_with('.') {
        return Ok(String::new());
    }
    let is_good = |part: &str| !matches!(part, "" | "." | "..");
    if text.contains(|char: char| char.is_control()) || !inner.split('/').all(is_good) {
        return Err(outside());
    }
    Ok(inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_stay_below_the_root() {
        for (path, expected) in [
            ("a", "a"),
            ("./a/b/", "a/b"),
            ("a b/c", "a b/c"),
            (".", ""),
            ("./", ""),
        ] {
            assert_eq!(name(path.as_bytes()).unwrap(), expected);
        }
        for path in [
            "", "/", "/a", "..", "../a", "a/../b", "a//b", "a/./b", "a/..", ".//a", "a\0b", "a\nb",
        ] {
            assert!(name(path.as_bytes()).is_err(), "{path:?}");
        }
        assert!(name(b"a\xff").is_err());
    }
}

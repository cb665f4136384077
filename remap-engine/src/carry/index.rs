//! Lists an archive, and checks its form as a whole before anything is put in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::entry::{Attributes, Node};
use super::error::{ArchiveError, Flaw};
use super::read::{ArchiveReader, Member};
use super::sparse;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Every name, the root first (an empty path), parents before children.
    pub entries: Vec<IndexEntry>,
    /// Sums over the entries.
    pub totals: Totals,
}

/// A name in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Relative to the root.
    pub path: PathBuf,
    /// What it is.
    pub node: Node,
    /// Mode, owner, times, extended attributes.
    pub attributes: Attributes,
}

/// Sums over the entries of an archive or of a captured tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of file data, without holes.
    pub data_bytes: u64,
    /// Inodes, the root's included; further names of an inode do not count.
    pub inodes: u64,
    /// Names, the root's included.
    pub entries: u64,
}

impl Totals {
    /// Counts one name.
    pub(super) fn count(&mut self, node: &Node) {
        self.entries += 1;
        if let Node::Regular { extents, .. } = node {
            self.data_bytes = self.data_bytes.saturating_add(sparse::data_bytes(extents));
        }
        if !matches!(node, Node::HardLink(_)) {
            self.inodes += 1;
        }
    }
}

/// Reads the list of an archive without unpacking it.
///
/// # Errors
/// When the file cannot be read, or is not an archive that `capture` could have
/// written: cut short, damaged, with names that lead outside, with members below
/// something that is no directory of the archive, with links to what it does not hold.
pub fn read_index(archive: &Path) -> Result<Index, ArchiveError> {
    index(&mut ArchiveReader::open(archive)?)
}

/// Lists from the first member on, and rewinds.
pub(super) fn index(reader: &mut ArchiveReader) -> Result<Index, ArchiveError> {
    reader.rewind();
    let mut seen = Seen::default();
    let mut index = Index {
        entries: Vec::new(),
        totals: Totals::default(),
    };
    loop {
        let offset = reader.offset();
        let Some(member) = reader.next()? else { break };
        seen.check(&member)
            .map_err(|flaw| reader.malformed(offset, flaw))?;
        index.totals.count(&member.node);
        index.entries.push(IndexEntry {
            path: member.path,
            node: member.node,
            attributes: member.attributes,
        });
    }
    if index.entries.is_empty() {
        return Err(reader.malformed(0, Flaw::Root));
    }
    reader.rewind();
    Ok(index)
}

/// Names so far, and whether each is a directory.
#[derive(Default)]
struct Seen(HashMap<PathBuf, bool>);

impl Seen {
    fn check(&mut self, member: &Member) -> Result<(), Flaw> {
        let path = &member.path;
        let is_directory = member.node == Node::Directory;
        match path.parent() {
            // The root has no parent: it comes first, once, and is a directory.
            None if !self.0.is_empty() => return Err(Flaw::Duplicate(path.clone())),
            None if !is_directory => return Err(Flaw::Root),
            Some(_) if self.0.is_empty() => return Err(Flaw::Root),
            Some(parent) if self.0.get(parent) != Some(&true) => {
                return Err(Flaw::Parent(path.clone()));
            }
            _ => {}
        }
        if let Node::HardLink(target) = &member.node
            && self.0.get(target) != Some(&false)
        {
            return Err(Flaw::LinkTarget {
                name: path.clone(),
                target: target.clone(),
            });
        }
        match self.0.insert(path.clone(), is_directory) {
            None => Ok(()),
            Some(_) => Err(Flaw::Duplicate(path.clone())),
        }
    }
}

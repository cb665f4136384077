//! Lists an archive, and checks its form as a whole before anything is put in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::entry::{Kind, Node};
use super::error::{ArchiveError, Flaw};
use super::origin::Origin;
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
    pub kind: Kind,
    /// The earlier name whose inode it shares, if it is a hard link.
    pub same_as: Option<PathBuf>,
    /// Length in bytes of a regular file, holes included; 0 for other kinds and for
    /// hard links.
    pub size: u64,
    /// Permission, set-ID and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Which inode it was, if that is noted; `None` for a hard link.
    pub origin: Option<Origin>,
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
    index(&mut ArchiveReader::open(archive)?, |_| ())
}

/// Lists from the first member on, shows each to `visit`, and rewinds.
pub(super) fn index(
    reader: &mut ArchiveReader,
    mut visit: impl FnMut(&Member),
) -> Result<Index, ArchiveError> {
    reader.rewind();
    let mut seen = Seen::default();
    let mut index = Index {
        entries: Vec::new(),
        totals: Totals::default(),
    };
    loop {
        let offset = reader.offset();
        let Some(member) = reader.next()? else { break };
        let kind = seen
            .check(&member)
            .map_err(|flaw| reader.malformed(offset, flaw))?;
        visit(&member);
        index.totals.count(&member.node);
        index.entries.push(entry(member, kind));
    }
    if index.entries.is_empty() {
        return Err(reader.malformed(0, Flaw::Root));
    }
    reader.rewind();
    Ok(index)
}

fn entry(member: Member, kind: Kind) -> IndexEntry {
    let origin = member.attributes.origin;
    let (same_as, size, origin) = match member.node {
        Node::HardLink(target) => (Some(target), 0, None),
        Node::Regular { size, .. } => (None, size, origin),
        _ => (None, 0, origin),
    };
    IndexEntry {
        path: member.path,
        kind,
        same_as,
        size,
        mode: member.attributes.mode,
        uid: member.attributes.uid,
        gid: member.attributes.gid,
        origin,
    }
}

/// Names so far, and what each is.
#[derive(Default)]
struct Seen(HashMap<PathBuf, Kind>);

impl Seen {
    /// Checks a member against those before it, and gives the kind of its inode.
    fn check(&mut self, member: &Member) -> Result<Kind, Flaw> {
        let path = &member.path;
        match path.parent() {
            // The root has no parent: it comes first, once, and is a directory.
            None if !self.0.is_empty() => return Err(Flaw::Duplicate(path.clone())),
            None if member.node != Node::Directory => return Err(Flaw::Root),
            Some(_) if self.0.is_empty() => return Err(Flaw::Root),
            Some(parent) if self.0.get(parent) != Some(&Kind::Directory) => {
                return Err(Flaw::Parent(path.clone()));
            }
            _ => {}
        }
        let kind = self.kind(member)?;
        match self.0.insert(path.clone(), kind) {
            None => Ok(kind),
            Some(_) => Err(Flaw::Duplicate(path.clone())),
        }
    }

    fn kind(&self, member: &Member) -> Result<Kind, Flaw> {
        Ok(match &member.node {
            Node::Directory => Kind::Directory,
            Node::Regular { .. } => Kind::Regular,
            Node::Symlink(_) => Kind::Symlink,
            Node::Fifo => Kind::Fifo,
            Node::Device { block: true, .. } => Kind::BlockDevice,
            Node::Device { block: false, .. } => Kind::CharDevice,
            Node::Socket => Kind::Socket,
            Node::HardLink(target) => match self.0.get(target) {
                Some(kind) if *kind != Kind::Directory => *kind,
                _ => {
                    return Err(Flaw::LinkTarget {
                        name: member.path.clone(),
                        target: target.clone(),
                    });
                }
            },
        })
    }
}

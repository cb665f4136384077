//! Whether there is room, before anything is written.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs};

use super::entry::{Extent, Node};
use super::error::PopulateError;
use super::survey::Survey;
use super::tree::Tree;

/// A symbolic link from this length on takes a page on tmpfs (mm/shmem.c, SHORT_SYMLINK_LEN).
const SHORT_SYMLINK: usize = 128;
/// Headers of one member of a stash, in bytes: two headers and a short extended one.
const STASH_MEMBER: u64 = 2048;

/// What an archive's contents take in a file system.
#[derive(Debug)]
pub(super) struct Needs {
    block: u64,
    bytes: u64,
    inodes: u64,
}

impl Needs {
    /// Nothing yet, to be counted in blocks of the target.
    pub(super) fn in_blocks_of(tree: &Tree) -> Result<Self, PopulateError> {
        Ok(Self {
            block: status(tree)?.fragment_size().max(1),
            bytes: 0,
            inodes: 0,
        })
    }

    /// Counts one member.
    pub(super) fn count(&mut self, node: &Node) {
        self.bytes = self.bytes.saturating_add(storage(node, self.block));
        if !matches!(node, Node::HardLink(_)) {
            self.inodes += 1;
        }
    }
}

/// Checks that the target can take the archive once `freed` is gone from it.
///
/// # Errors
/// When it is read-only, or lacks bytes or inodes.
pub(super) fn check_target(
    tree: &Tree,
    needs: &Needs,
    freed: &Survey,
) -> Result<(), PopulateError> {
    let place = tree.place(Path::new(""));
    let fs = status(tree)?;
    if fs.flags().contains(FsFlags::ST_RDONLY) {
        return Err(PopulateError::ReadOnly(place));
    }
    let needed = needs.bytes;
    let available = free_bytes(&fs).saturating_add(freed.bytes);
    if needed > available {
        let size = total_bytes(&fs).saturating_add(needed - available);
        return Err(PopulateError::Room {
            what: "bytes",
            remedy: format!(
                "remove what is not needed there, or enlarge its tmpfs, \
                 as with `mount -o remount,size={size}`"
            ),
            place,
            needed,
            available,
        });
    }
    // The root is there already.
    let needed = needs.inodes.saturating_sub(1);
    let available = free_inodes(&fs).saturating_add(freed.inodes);
    if needed > available {
        let inodes = fs.files().saturating_add(needed - available);
        return Err(PopulateError::Room {
            what: "inodes",
            remedy: format!(
                "remove what is not needed there, or allow its tmpfs more, \
                 as with `mount -o remount,nr_inodes={inodes}`"
            ),
            place,
            needed,
            available,
        });
    }
    Ok(())
}

/// Checks that the directory that will hold the stash can take the old contents.
///
/// # Errors
/// When it lacks bytes.
pub(super) fn check_stash(directory: &Path, old: &Survey) -> Result<(), PopulateError> {
    let fs = status(&Tree::open(directory).map_err(PopulateError::io("open", directory))?)?;
    let needed = old
        .bytes
        .saturating_add(old.names.saturating_mul(STASH_MEMBER));
    let available = free_bytes(&fs);
    if needed <= available {
        return Ok(());
    }
    Err(PopulateError::Room {
        what: "bytes",
        place: directory.to_owned(),
        needed,
        available,
        remedy: "the old contents of the mount are kept there during the restore; \
                 free some space, or empty the mount first"
            .to_owned(),
    })
}

fn status(tree: &Tree) -> Result<Statvfs, PopulateError> {
    fstatvfs(tree)
        .map_err(|errno| PopulateError::io("stat", tree.place(Path::new("")))(errno.into()))
}

/// A tmpfs without a limit shows no blocks at all (mm/shmem.c, shmem_statfs).
fn free_bytes(fs: &Statvfs) -> u64 {
    match fs.blocks() {
        0 => u64::MAX,
        _ => fs.blocks_available().saturating_mul(fs.fragment_size()),
    }
}

fn total_bytes(fs: &Statvfs) -> u64 {
    fs.blocks().saturating_mul(fs.fragment_size())
}

/// A file system without an inode limit shows no inodes at all.
fn free_inodes(fs: &Statvfs) -> u64 {
    match fs.files() {
        0 => u64::MAX,
        _ => fs.files_available(),
    }
}

/// Bytes that a node takes in blocks of `block` bytes.
fn storage(node: &Node, block: u64) -> u64 {
    match node {
        Node::Regular {
            size,
            reserved: true,
            ..
        } => size.div_ceil(block).saturating_mul(block),
        Node::Regular { extents, .. } => blocks(extents, block).saturating_mul(block),
        Node::Symlink(target) if target.len() >= SHORT_SYMLINK => block,
        _ => 0,
    }
}

/// Blocks touched by the extents, each once.
fn blocks(extents: &[Extent], block: u64) -> u64 {
    let mut counted = 0;
    let mut next = 0;
    for extent in extents {
        let first = (extent.offset / block).max(next);
        next = extent
            .offset
            .saturating_add(extent.length)
            .div_ceil(block)
            .max(first);
        counted += next - first;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_once() {
        let extents = [(0, 1), (5, 3), (4095, 2), (8192, 4096), (20000, 1)]
            .map(|(offset, length)| Extent { offset, length });
        assert_eq!(blocks(&extents, 4096), 4);
        assert_eq!(blocks(&[], 4096), 0);
    }
}

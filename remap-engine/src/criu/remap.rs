//! Makes ghosts of files in the images (`remap-fpath.img`).
//!
//! What an entry has to satisfy (CRIU `collect_one_remap`, `collect_remap_ghost`): its file is in
//! the images; there is one entry for a file, as a second one would count instead of the first; the
//! ghost's id is not that of another inode. A file of CRIU's own, `link_remap.N`, that loses its
//! client may stay: nobody opens it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use prost::Message;

use super::files::{DumpedFile, FILES, OLD_GHOST_BIT, REMAPS, Remap, RemapFilePathEntry};
use super::image::{self, Edit, Entries, ImageError, Magic, wire};

/// GHOST, in a remap entry.
const GHOST: u32 = 1;

// Fields of a remap entry.
const ORIG_ID: u32 = 1;
const REMAP_ID: u32 = 2;
const REMAP_TYPE: u32 = 3;

/// An id that no ghost of the dump has, and from which on none has.
///
/// # Errors
/// The directory cannot be listed, or all ids are taken.
pub fn unused_ghost_id(dir: &Path, files: &[DumpedFile]) -> io::Result<u32> {
    let mut last = 0;
    for file in files {
        if let Some(Remap::Ghost(id)) = file.remap {
            last = last.max(id);
        }
    }
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| {
            let digits = name.strip_prefix("ghost-file-")?.strip_suffix(".img")?;
            u32::from_str_radix(digits, 16).ok()
        });
        last = last.max(id.unwrap_or(0));
    }
    // CRIU counts from 1, and the highest bit had a meaning once.
    last.checked_add(1)
        .filter(|id| *id < OLD_GHOST_BIT)
        .ok_or_else(|| io::Error::other("there is no ghost id left"))
}

/// Makes each file, by its id, a client of a ghost, by its id. The image is replaced as a whole,
/// readable by root only; it is not synced.
///
/// Returns the file that is the first client of each ghost in the image, beside whose path CRIU
/// makes the ghost.
///
/// # Errors
/// An image is damaged, or the new one cannot be written; the old one is there then.
pub fn make_ghosts(
    dir: &Path,
    ghosts: &BTreeMap<u32, u32>,
) -> Result<HashMap<u32, u32>, ImageError> {
    let path = dir.join(REMAPS);
    image::replace(&path, |out| match File::open(&path) {
        Ok(file) => rewrite(&path, BufReader::new(file), out, ghosts),
        // CRIU writes no remap image when nothing was remapped.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            begin(dir).and_then(|header| rewrite(&path, header.as_slice(), out, ghosts))
        }
        Err(source) => Err(ImageError::Read {
            path: path.clone(),
            source,
        }),
    })
}

/// An empty remap image in the format of the others.
fn begin(dir: &Path) -> Result<Vec<u8>, ImageError> {
    let path = dir.join(FILES);
    let file = File::open(&path).map_err(|source| ImageError::Read {
        path: path.clone(),
        source,
    })?;
    let files = Entries::new(&path, Magic::Files, BufReader::new(file))?;
    Ok(files.format().header(Magic::RemapFpath))
}

fn rewrite(
    path: &Path,
    from: impl Read,
    to: &mut impl Write,
    ghosts: &BTreeMap<u32, u32>,
) -> Result<HashMap<u32, u32>, ImageError> {
    let left = RefCell::new(ghosts.clone());
    let first = RefCell::new(HashMap::new());
    let edit = |message: &[u8]| -> Result<Edit, wire::WireError> {
        // Of a longer number the lower bits count (protobuf.dev, "Encoding"), for CRIU as well.
        let id = wire::number(message, ORIG_ID)?.map(|id| id & u64::from(u32::MAX));
        let id = id.and_then(|id| u32::try_from(id).ok());
        let Some(id) = id.filter(|id| ghosts.contains_key(id)) else {
            return Ok(Edit::Keep);
        };
        let Some(ghost) = left.borrow_mut().remove(&id) else {
            return Ok(Edit::Remove);
        };
        first.borrow_mut().entry(ghost).or_insert(id);
        let changes = [(REMAP_ID, ghost.into()), (REMAP_TYPE, GHOST.into())];
        wire::with_numbers(message, &changes).map(Edit::Replace)
    };
    // These are asked for when the image has been read.
    let more = std::iter::from_fn(|| {
        let (id, ghost) = left.borrow_mut().pop_first()?;
        first.borrow_mut().entry(ghost).or_insert(id);
        let entry = RemapFilePathEntry {
            orig_id: id,
            remap_id: ghost,
            remap_type: Some(GHOST),
        };
        Some(entry.encode_to_vec())
    });
    let entries = Entries::new(path, Magic::RemapFpath, from)?;
    image::rewrite(entries, to, edit, more)?;
    Ok(first.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::image::{Format, put};
    use proptest::prelude::*;

    fn entry(orig_id: u32, remap_id: u32, remap_type: u32) -> RemapFilePathEntry {
        RemapFilePathEntry {
            orig_id,
            remap_id,
            remap_type: Some(remap_type),
        }
    }

    fn dump(entries: Option<&[RemapFilePathEntry]>, format: Format) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILES), format.header(Magic::Files)).unwrap();
        if let Some(entries) = entries {
            let mut bytes = format.header(Magic::RemapFpath);
            for entry in entries {
                put(&mut bytes, &entry.encode_to_vec()).unwrap();
            }
            std::fs::write(dir.path().join(REMAPS), bytes).unwrap();
        }
        dir
    }

    fn remaps(dir: &Path) -> Vec<RemapFilePathEntry> {
        image::read(&dir.join(REMAPS), Magic::RemapFpath).unwrap()
    }

    #[test]
    fn entries_are_replaced_in_their_place_and_new_ones_follow() {
        let before = [
            entry(4, 9, 0),
            entry(5, 2, 1),
            entry(6, 77, 2),
            entry(4, 8, 0),
        ];
        let dump = dump(Some(&before), Format::V1_1);
        let first = make_ghosts(dump.path(), &BTreeMap::from([(4, 3), (2, 3), (7, 4)])).unwrap();
        let expected = [
            entry(4, 3, 1),
            entry(5, 2, 1),
            entry(6, 77, 2),
            entry(2, 3, 1),
            entry(7, 4, 1),
        ];
        assert_eq!(remaps(dump.path()), expected);
        assert_eq!(first, HashMap::from([(3, 4), (4, 7)]));
        let mut names = std::fs::read_dir(dump.path()).unwrap();
        assert!(names.all(|name| name.unwrap().path().extension().unwrap() == "img"));
    }

    #[test]
    fn a_number_that_is_too_long_is_read_as_criu_reads_it() {
        let dump = dump(None, Format::V1_1);
        let mut bytes = Format::V1_1.header(Magic::RemapFpath);
        let wide = wire::with_numbers(&entry(0, 9, 0).encode_to_vec(), &[(ORIG_ID, (1 << 32) + 4)]);
        put(&mut bytes, &wide.unwrap()).unwrap();
        std::fs::write(dump.path().join(REMAPS), bytes).unwrap();
        assert_eq!(remaps(dump.path()), [entry(4, 9, 0)]);
        make_ghosts(dump.path(), &BTreeMap::from([(4, 3)])).unwrap();
        assert_eq!(remaps(dump.path()), [entry(4, 3, 1)]);
    }

    #[test]
    fn without_an_image_one_is_made_in_the_format_of_the_others() {
        for format in [Format::V1, Format::V1_1] {
            let dump = dump(None, format);
            make_ghosts(dump.path(), &BTreeMap::from([(7, 1)])).unwrap();
            assert_eq!(remaps(dump.path()), [entry(7, 1, 1)]);
            let bytes = std::fs::read(dump.path().join(REMAPS)).unwrap();
            assert!(bytes.starts_with(&format.header(Magic::RemapFpath)));
        }
    }

    #[test]
    fn a_damaged_image_stays_as_it_is() {
        let dump = dump(Some(&[entry(1, 1, 1)]), Format::V1_1);
        let path = dump.path().join(REMAPS);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.pop();
        std::fs::write(&path, &bytes).unwrap();
        make_ghosts(dump.path(), &BTreeMap::from([(1, 2)])).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(dump.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_unused_id_is_above_all_that_are_seen() {
        let dump = dump(None, Format::V1_1);
        let file = |id| DumpedFile {
            id: 1,
            path: "a".into(),
            mount_id: None,
            remap: Some(Remap::Ghost(id)),
            size_bytes: None,
            mode: None,
        };
        assert_eq!(unused_ghost_id(dump.path(), &[]).unwrap(), 1);
        assert_eq!(unused_ghost_id(dump.path(), &[file(4)]).unwrap(), 5);
        std::fs::write(dump.path().join("ghost-file-1f.img"), b"").unwrap();
        assert_eq!(unused_ghost_id(dump.path(), &[file(4)]).unwrap(), 32);
        unused_ghost_id(dump.path(), &[file(u32::MAX)]).unwrap_err();
    }

    proptest! {
        #[test]
        fn every_file_gets_its_ghost_once_and_the_others_stay(
            before in prop::collection::vec((0..12u32, 0..9u32, 0..3u32), 0..12),
            wanted in prop::collection::btree_map(0..12u32, 20..23u32, 0..6),
        ) {
            let before: Vec<_> = before.iter().map(|(a, b, c)| entry(*a, *b, *c)).collect();
            let dump = dump(Some(&before), Format::V1_1);
            let first = make_ghosts(dump.path(), &wanted).unwrap();
            let after = remaps(dump.path());
            let others = |all: &[RemapFilePathEntry]| {
                let others = all.iter().filter(|one| !wanted.contains_key(&one.orig_id));
                others.cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(others(&after), others(&before));
            for (id, ghost) in &wanted {
                let mine: Vec<_> = after.iter().filter(|one| one.orig_id == *id).collect();
                let expected = entry(*id, *ghost, 1);
                prop_assert_eq!(mine, vec![&expected]);
            }
            for (ghost, id) in first {
                let client = after.iter().find(|one| one.remap_id == ghost && one.remap_type == Some(1));
                prop_assert_eq!(client.unwrap().orig_id, id);
            }
        }
    }
}

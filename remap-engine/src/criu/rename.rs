//! Changes the names of files in the images (`files.img`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files::{FILES, OLD_FILES};
use super::image::{self, Edit, Entries, ImageError, Magic, wire};

// Fields of a `file_entry` and of a `reg_file_entry`.
const REG: u32 = 3;
const ID: u32 = 1;
const NAME: u32 = 6;

/// Gives each regular file, by its id, another path, relative to the container's root. All else stays
/// byte for byte. The image is replaced as a whole, readable by root only; it is not synced.
///
/// # Errors
/// The image is damaged, or the new one cannot be written; the old one is there then.
pub fn rename(dir: &Path, names: &BTreeMap<u32, PathBuf>) -> Result<(), ImageError> {
    let (path, magic) = match dir.join(FILES) {
        path if path.exists() => (path, Magic::Files),
        _ => (dir.join(OLD_FILES), Magic::RegFiles),
    };
    let file = File::open(&path).map_err(|source| ImageError::Read {
        path: path.clone(),
        source,
    })?;
    let edit = |message: &[u8]| -> Result<Edit, wire::WireError> {
        if magic == Magic::RegFiles {
            return Ok(renamed(message, names)?.map_or(Edit::Keep, Edit::Replace));
        }
        let Some(regular) = wire::bytes(message, REG)? else {
            return Ok(Edit::Keep);
        };
        match renamed(regular, names)? {
            Some(regular) => wire::with_bytes(message, REG, &regular).map(Edit::Replace),
            None => Ok(Edit::Keep),
        }
    };
    image::replace(&path, |out| {
        let entries = Entries::new(&path, magic, BufReader::new(file))?;
        image::rewrite(entries, out, edit, std::iter::empty())
    })
}

/// The entry of a regular file with its new name; `None` if it keeps the one that it has.
fn renamed(
    message: &[u8],
    names: &BTreeMap<u32, PathBuf>,
) -> Result<Option<Vec<u8>>, wire::WireError> {
    let id = wire::number(message, ID)?.and_then(|id| u32::try_from(id).ok());
    let Some(name) = id.and_then(|id| names.get(&id)) else {
        return Ok(None);
    };
    let name = Path::new("/").join(name);
    wire::with_bytes(message, NAME, name.as_os_str().as_bytes()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::files::{self, FileEntry, RegFileEntry};
    use crate::criu::image::{Format, put};
    use prost::Message;

    fn regular(id: u32, name: &[u8]) -> RegFileEntry {
        RegFileEntry {
            id,
            name: name.to_vec(),
            mnt_id: Some(4),
            size: None,
            ext: None,
            mode: None,
        }
    }

    /// With a field that nobody here knows.
    fn entry(id: u32, name: &[u8]) -> Vec<u8> {
        let reg = Some(regular(id, name));
        let mut bytes = FileEntry { id, reg }.encode_to_vec();
        bytes.extend([0xf8, 0x07, 9]);
        bytes
    }

    #[test]
    fn only_the_named_files_change() {
        for (image, magic) in [(FILES, Magic::Files), (OLD_FILES, Magic::RegFiles)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(image);
            let write = |names: [&[u8]; 2]| {
                let mut bytes = Format::V1_1.header(magic);
                for (id, name) in (1..).zip(names) {
                    let message = match magic {
                        Magic::Files => entry(id, name),
                        _ => regular(id, name).encode_to_vec(),
                    };
                    put(&mut bytes, &message).unwrap();
                }
                bytes
            };
            std::fs::write(&path, write([b"/a", b"/d/\xff"])).unwrap();
            rename(
                dir.path(),
                &BTreeMap::from([(2, "d/other".into()), (9, "x".into())]),
            )
            .unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), write([b"/a", b"/d/other"]));
            let read = files::read(dir.path()).unwrap();
            assert_eq!(read[1].path, Path::new("d/other"));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_damaged_image_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILES);
        let mut bytes = Format::V1_1.header(Magic::Files);
        put(&mut bytes, &[0x1a, 9]).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        rename(dir.path(), &BTreeMap::from([(2, "b".into())])).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

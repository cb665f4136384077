//! What CRIU wrote about regular files: `files.img` (`reg-files.img` in old dumps) and
//! `remap-fpath.img`.
//!
//! The messages are those of CRIU's `images/*.proto`, with the fields that are needed here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::criu::ghost;
use crate::criu::image::{self, ImageError, Magic};

/// `file_entry` (fdinfo.proto).
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileEntry {
    /// The file's id.
    #[prost(uint32, required, tag = "2")]
    pub id: u32,
    /// Set for regular files.
    #[prost(message, optional, tag = "3")]
    pub reg: Option<RegFileEntry>,
}

/// `reg_file_entry` (regfile.proto).
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegFileEntry {
    /// The file's id.
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    /// Its path in the container; bytes that are not UTF-8 are legal here.
    #[prost(bytes = "vec", required, tag = "6")]
    pub name: Vec<u8>,
    /// The mount through which it was opened; −1 if unknown.
    #[prost(sint32, optional, tag = "7")]
    pub mnt_id: Option<i32>,
    /// Its length, which a restore expects again.
    #[prost(uint64, optional, tag = "8")]
    pub size: Option<u64>,
    /// Whether the caller of CRIU hands it over at restore.
    #[prost(bool, optional, tag = "9")]
    pub ext: Option<bool>,
    /// Its `st_mode`, which a restore expects again.
    #[prost(uint32, optional, tag = "10")]
    pub mode: Option<u32>,
}

/// `remap_file_path_entry` (remap-file-path.proto).
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemapFilePathEntry {
    /// The file whose name is gone.
    #[prost(uint32, required, tag = "1")]
    pub orig_id: u32,
    /// The file or ghost that stands in for it.
    #[prost(uint32, required, tag = "2")]
    pub remap_id: u32,
    /// LINKED 0, GHOST 1, PROCFS 2.
    #[prost(uint32, optional, tag = "3")]
    pub remap_type: Option<u32>,
}

/// The image with all files.
pub(in crate::criu) const FILES: &str = "files.img";

/// The one with regular files, of CRIU before 3.4.
pub(in crate::criu) const OLD_FILES: &str = "reg-files.img";

/// The one with the remaps.
pub(in crate::criu) const REMAPS: &str = "remap-fpath.img";

/// Old images have no type: bit 31 of the remap id then means a ghost.
pub(in crate::criu) const OLD_GHOST_BIT: u32 = 1 << 31;

/// How CRIU will find a file whose name is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remap {
    /// By the name of another file entry, which it linked.
    Linked(PathBuf),
    /// From the ghost image with this id.
    Ghost(u32),
    /// By a helper process.
    Procfs,
}

/// A regular file in the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedFile {
    /// Its id.
    pub id: u32,
    /// Its path in the container, without the leading slash.
    pub path: PathBuf,
    /// The mount through which it was opened.
    pub mount_id: Option<u64>,
    /// How it is found if not by its path.
    pub remap: Option<Remap>,
    /// The length that a restore expects.
    pub size_bytes: Option<u64>,
    /// The `st_mode` that a restore expects.
    pub mode: Option<u32>,
}

/// The images contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A remap of type LINKED names no regular file.
    #[error(
        "remap-fpath.img replaces file {orig_id} by file {remap_id}, which files.img does not have"
    )]
    NoTarget {
        /// The file whose name is gone.
        orig_id: u32,
        /// The missing one.
        remap_id: u32,
    },
    /// A remap is of no regular file.
    #[error("remap-fpath.img has an entry for file {0}, which files.img does not have")]
    NoFile(u32),
    /// There is no image of a ghost.
    #[error("file {orig_id} comes back from the ghost image {image}, which is not there")]
    NoGhost {
        /// The file whose name is gone.
        orig_id: u32,
        /// The missing image.
        image: PathBuf,
    },
    /// A type that CRIU did not have when this was written.
    #[error("remap-fpath.img has an entry of unknown type {remap_type} for file {orig_id}")]
    UnknownType {
        /// The file.
        orig_id: u32,
        /// The type.
        remap_type: u32,
    },
}

/// Reads all regular files of a dump, with their remaps.
///
/// # Errors
/// See [`FilesError`].
pub fn read(dir: &Path) -> Result<Vec<DumpedFile>, FilesError> {
    let old_path = dir.join(OLD_FILES);
    let files_path = dir.join(FILES);
    let regular = if old_path.exists() && !files_path.exists() {
        image::read(&old_path, Magic::RegFiles)?
    } else {
        let files: Vec<FileEntry> = image::read(&files_path, Magic::Files)?;
        files.into_iter().filter_map(|file| file.reg).collect()
    };
    let remap_path = dir.join(REMAPS);
    // CRIU writes no remap image when nothing was remapped.
    let remaps = if remap_path.exists() {
        image::read(&remap_path, Magic::RemapFpath)?
    } else {
        Vec::new()
    };
    let files = join(regular, remaps)?;
    for file in &files {
        if let Some(Remap::Ghost(id)) = file.remap {
            let image = dir.join(ghost::file_name(id));
            if !image.is_file() {
                let orig_id = file.id;
                return Err(FilesError::NoGhost { orig_id, image });
            }
        }
    }
    Ok(files)
}

fn join(
    regular: Vec<RegFileEntry>,
    remaps: Vec<RemapFilePathEntry>,
) -> Result<Vec<DumpedFile>, FilesError> {
    let paths: HashMap<u32, PathBuf> = regular
        .iter()
        .map(|file| (file.id, relative(&file.name)))
        .collect();
    let mut by_id = HashMap::new();
    for entry in remaps {
        by_id.insert(entry.orig_id, remap(&entry, &paths)?);
    }
    let files: Vec<DumpedFile> = regular
        .into_iter()
        .map(|file| DumpedFile {
            id: file.id,
            path: relative(&file.name),
            mount_id: file.mnt_id.and_then(|id| u64::try_from(id).ok()),
            remap: by_id.remove(&file.id),
            size_bytes: file.size,
            mode: file.mode,
        })
        .collect();
    match by_id.into_keys().min() {
        Some(orig_id) => Err(FilesError::NoFile(orig_id)),
        None => Ok(files),
    }
}

fn remap(entry: &RemapFilePathEntry, paths: &HashMap<u32, PathBuf>) -> Result<Remap, FilesError> {
    let old = entry.remap_id & OLD_GHOST_BIT != 0;
    match entry.remap_type.unwrap_or(u32::from(old)) {
        0 => paths
            .get(&entry.remap_id)
            .map(|path| Remap::Linked(path.clone()))
            .ok_or(FilesError::NoTarget {
                orig_id: entry.orig_id,
                remap_id: entry.remap_id,
            }),
        1 => Ok(Remap::Ghost(entry.remap_id & !OLD_GHOST_BIT)),
        2 => Ok(Remap::Procfs),
        remap_type => Err(FilesError::UnknownType {
            orig_id: entry.orig_id,
            remap_type,
        }),
    }
}

fn relative(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: u32, name: &[u8]) -> RegFileEntry {
        RegFileEntry {
            id,
            name: name.to_vec(),
            mnt_id: Some(43),
            size: Some(7),
            ext: None,
            mode: Some(0o100_600),
        }
    }

    fn remap_entry(remap_id: u32, remap_type: Option<u32>) -> Vec<RemapFilePathEntry> {
        vec![RemapFilePathEntry {
            orig_id: 1,
            remap_id,
            remap_type,
        }]
    }

    fn remap_of(remaps: Vec<RemapFilePathEntry>) -> Result<Option<Remap>, FilesError> {
        let files = vec![
            file(1, b"/dev/shm/a (deleted)"),
            file(2, b"/dev/shm/link_remap.1"),
        ];
        Ok(join(files, remaps)?[0].remap.clone())
    }

    #[test]
    fn each_type_of_remap() {
        let linked = Remap::Linked("dev/shm/link_remap.1".into());
        assert_eq!(
            remap_of(remap_entry(2, Some(0))).unwrap(),
            Some(linked.clone())
        );
        assert_eq!(remap_of(remap_entry(2, None)).unwrap(), Some(linked));
        assert_eq!(
            remap_of(remap_entry(2, Some(1))).unwrap(),
            Some(Remap::Ghost(2))
        );
        assert_eq!(
            remap_of(remap_entry(2 | OLD_GHOST_BIT, None)).unwrap(),
            Some(Remap::Ghost(2))
        );
        assert_eq!(
            remap_of(remap_entry(20, Some(2))).unwrap(),
            Some(Remap::Procfs)
        );
        assert_eq!(remap_of(vec![]).unwrap(), None);
    }

    #[test]
    fn contradictions_are_errors() {
        assert!(matches!(
            remap_of(remap_entry(9, Some(0))),
            Err(FilesError::NoTarget { .. })
        ));
        assert!(matches!(
            remap_of(remap_entry(2, Some(3))),
            Err(FilesError::UnknownType { .. })
        ));
    }

    #[test]
    fn a_remap_of_no_file_and_a_missing_ghost_are_found() {
        let mut remaps = remap_entry(2, Some(1));
        remaps[0].orig_id = 9;
        assert!(matches!(remap_of(remaps), Err(FilesError::NoFile(9))));
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, magic: Magic, message: Vec<u8>| {
            let mut bytes = image::Format::V1_1.header(magic);
            image::put(&mut bytes, &message).unwrap();
            std::fs::write(dir.path().join(name), bytes).unwrap();
        };
        let entry = FileEntry {
            id: 1,
            reg: Some(file(1, b"/a")),
        };
        put(FILES, Magic::Files, prost::Message::encode_to_vec(&entry));
        let remap = &remap_entry(26, Some(1))[0];
        put(
            REMAPS,
            Magic::RemapFpath,
            prost::Message::encode_to_vec(remap),
        );
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("ghost-file-1a.img"), "{error}");
        std::fs::write(dir.path().join("ghost-file-1a.img"), b"").unwrap();
        assert_eq!(read(dir.path()).unwrap()[0].remap, Some(Remap::Ghost(26)));
    }

    #[test]
    fn a_missing_image_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("files.img")
        );
    }

    #[test]
    fn old_dumps_have_another_image() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = image::Format::V1.header(Magic::RegFiles);
        image::put(&mut bytes, &prost::Message::encode_to_vec(&file(3, b"/a"))).unwrap();
        std::fs::write(dir.path().join(OLD_FILES), bytes).unwrap();
        let files = read(dir.path()).unwrap();
        assert_eq!((files.len(), files[0].path.as_path()), (1, Path::new("a")));
    }
}

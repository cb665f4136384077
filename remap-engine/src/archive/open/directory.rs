//! The plain form, or the image directory of anybody.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::sink::{Piece, Sink, is_fault};
use super::{Archive, Entry};
use crate::archive::CHUNK;
use crate::archive::container::{CONTAINER_FILE, Container};
use crate::archive::document::{ARCHIVE_FILE, Document};
use crate::archive::error::ArchiveError;
use crate::archive::layout::{Kind, Layout};
use crate::manifest::{FileDigest, Manifest};
use crate::text::{escape, unescape};

/// Longest document that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// Reads the documents, and lists the files.
pub(super) fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let mut sizes = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(ArchiveError::io("list", path))? {
        let entry = entry.map_err(ArchiveError::io("list", path))?;
        let metadata = entry.metadata();
        let metadata = metadata.map_err(ArchiveError::io("stat", entry.path()))?;
        sizes.insert(escape(&entry.file_name()), metadata.len());
    }
    if !sizes.contains_key("inventory.img") {
        return Err(ArchiveError::Unknown {
            path: path.to_owned(),
            found: "there is no `inventory.img` of CRIU in it".to_owned(),
        });
    }
    let document = match read(path, ARCHIVE_FILE)? {
        Some(text) => Some(Document::from_json(&text)?),
        None => None,
    };
    let container = match read(path, CONTAINER_FILE)? {
        Some(text) => Some(Container::from_json(&text)?),
        None => None,
    };
    let manifest = Manifest::read(path)?;
    let mut digests: BTreeMap<String, FileDigest> = BTreeMap::new();
    digests.extend(manifest.iter().flat_map(|manifest| manifest.files.clone()));
    digests.extend(document.iter().flat_map(|document| document.files.clone()));
    for (name, digest) in &digests {
        sizes.insert(name.clone(), digest.size);
    }
    let entries = sizes.into_iter().map(|(name, size)| Entry {
        sha256: digests.get(&name).map(|digest| digest.sha256.clone()),
        name,
        size,
    });
    Ok(Archive {
        path: path.to_owned(),
        kind: Kind {
            layout: Layout::Directory,
            is_ours: document.is_some(),
            is_compressed: false,
            is_encrypted: false,
        },
        entries: entries.collect(),
        container,
        manifest,
        document,
    })
}

/// Gives each file to the sink.
pub(super) fn stream(archive: &Archive, sink: &mut Sink<'_, '_>) -> Result<(), ArchiveError> {
    let mut chunk = vec![0; CHUNK];
    for entry in &archive.entries {
        let path = archive.path.join(unescape(&entry.name).unwrap_or_default());
        let mut file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) => match is_fault(&error) {
                Some(what) => {
                    sink.fault(&entry.name, what);
                    continue;
                }
                None => return Err(ArchiveError::io("open", path)(error)),
            },
        };
        let mut incoming = sink.begin(entry)?;
        loop {
            let count = file.read(&mut chunk);
            let count = count.map_err(ArchiveError::io("read", &path))?;
            let Some(read @ [_, ..]) = chunk.get(..count) else {
                break;
            };
            sink.piece(&mut incoming, Piece::Data(read))?;
        }
        sink.end(incoming)?;
    }
    Ok(())
}

/// A document of the directory, if it has it.
fn read(dir: &Path, name: &'static str) -> Result<Option<Vec<u8>>, ArchiveError> {
    let path = dir.join(name);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ArchiveError::io("open", path)(error)),
    };
    let mut text = Vec::new();
    let read = file.take(LIMIT).read_to_end(&mut text);
    read.map_err(ArchiveError::io("read", path))?;
    Ok(Some(text))
}

/// Without following a link, and without waiting for a FIFO's writer.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::from_raw_os_error(libc::ENXIO))
    }
}

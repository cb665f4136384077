//! The plain form, or the image directory of anybody.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::describe::{DOCUMENTS, Found, LIMIT};
use super::problem::{Problem, damaged};
use super::sink::{Sink, Where};
use super::{Archive, Form};
use crate::archive::error::ArchiveError;
use crate::archive::layout::{Kind, Layout};
use crate::archive::name;
use crate::text::escape;

/// Reads the documents, and lists the files.
pub(super) fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(path).map_err(ArchiveError::io("list", path))? {
        let entry = entry.map_err(ArchiveError::io("list", path))?;
        let metadata = entry.metadata();
        let metadata = metadata.map_err(ArchiveError::io("stat", entry.path()))?;
        let name = escape(&entry.file_name());
        if name::is_plain(&name) && !metadata.is_dir() {
            found.sizes.insert(name, metadata.len());
        }
    }
    if !found.sizes.contains_key("inventory.img") {
        return Err(ArchiveError::Unknown {
            path: path.to_owned(),
            found: "there is no `inventory.img` of CRIU in it".to_owned(),
        });
    }
    for name in DOCUMENTS {
        if found.sizes.contains_key(name) {
            found.texts.insert(name.to_owned(), read(path, name)?);
        }
    }
    let described = found.describe(path)?;
    Ok(Archive {
        path: path.to_owned(),
        kind: Kind {
            layout: Layout::Directory,
            is_ours: described.document.is_some(),
            is_compressed: false,
        },
        form: Form::Directory,
        entries: described.entries,
        container: described.container,
        manifest: described.manifest,
        document: described.document,
    })
}

/// Gives each file to the sink.
pub(super) fn stream(archive: &Archive, sink: &mut Sink<'_, '_>) -> Result<(), Problem> {
    for entry in &archive.entries {
        let path = archive.path.join(&entry.name);
        match open_regular(&path) {
            Ok(mut file) => sink.take(Where::Plain, &entry.name, &mut file)?,
            // It has not come then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => match is_no_file(&error) {
                true => sink.fault(&entry.name, "is not a regular file"),
                false => return Err(ArchiveError::io("open", path)(error).into()),
            },
        }
        if sink.is_done() {
            break;
        }
    }
    Ok(())
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, ArchiveError> {
    let path = dir.join(name);
    let mut text = Vec::new();
    let read = open_regular(&path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut text));
    match read {
        Err(error) if is_no_file(&error) => Err(damaged(dir, name, "is not a regular file")),
        Err(error) => Err(ArchiveError::io("read", path)(error)),
        Ok(count) if count as u64 > LIMIT => {
            let what = format!("is longer than {LIMIT} bytes");
            Err(damaged(dir, name, what))
        }
        Ok(_) => Ok(text),
    }
}

fn is_no_file(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO))
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

//! Files and directories that only root may read, from the first byte: images hold process memory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes a directory with mode 0700, and its missing parents.
///
/// # Errors
/// It cannot be made. One that exists already stays as it is.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a new file with mode 0600.
///
/// # Errors
/// It exists already, or cannot be made.
pub fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Writes a file with mode 0600; readers see the old contents or the new, never a part.
///
/// # Errors
/// It cannot be written; an older file stays as it was.
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = Path::new(&name);
    remove_if_exists(temporary)?;
    let written = create_file(temporary)
        .and_then(|mut file| file.write_all(contents))
        .and_then(|()| std::fs::rename(temporary, path));
    if written.is_err() {
        remove_if_exists(temporary)?;
    }
    written
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove_if_exists(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn modes_are_private_and_contents_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        create_dir(&inner).unwrap();
        let file = inner.join("f");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1);
    }
}

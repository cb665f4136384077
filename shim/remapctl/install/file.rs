//! Files that are replaced whole, or not.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Writes `contents` to `path`: whoever has the file that was there open keeps it, as a program that
/// runs does.
///
/// # Errors
/// It cannot be written; what was there is there.
pub(crate) fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    write(path, mode, &mut &*contents)
}

/// As [`replace`], with the contents of the file `from`.
///
/// # Errors
/// As there.
pub(crate) fn copy(from: &Path, path: &Path, mode: u32) -> io::Result<()> {
    write(path, mode, &mut File::open(from)?)
}

/// Makes `path` a link to `to`, whatever it was.
///
/// # Errors
/// It cannot be made; what was there is there.
pub(crate) fn link(to: &Path, path: &Path) -> io::Result<()> {
    let beside = beside(path);
    remove(&beside)?;
    symlink(to, &beside)?;
    fs::rename(&beside, path)?;
    sync_directory(path)
}

/// Removes a file that need not be there.
///
/// # Errors
/// It stays.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The contents; `None` if there is no such file.
///
/// # Errors
/// There is, and it cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        contents => contents.map(Some),
    }
}

fn write(path: &Path, mode: u32, contents: &mut impl Read) -> io::Result<()> {
    let beside = beside(path);
    remove(&beside)?;
    let result = (|| {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        io::copy(contents, &mut file)?;
        file.flush()?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if result.is_err() {
        // The first error counts.
        let _ = remove(&beside);
    }
    result.and_then(|()| sync_directory(path))
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.remapctl-new"))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_it_open_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace(&path, b"old", 0o640).unwrap();
        let mut old = File::open(&path).unwrap();
        copy(&path, &dir.path().join("other"), 0o755).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        assert_eq!(
            (&*text, read(&path).unwrap()),
            ("old", Some(b"new".to_vec()))
        );
        link(Path::new("other"), &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        assert!(replace(&dir.path().join("none/x"), b"", 0o600).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

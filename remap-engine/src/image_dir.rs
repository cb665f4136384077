//! The image directory of a checkpoint that is being made.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::private;

/// Guards the image directory: unless [`ImageDir::keep`] is called, dropping it removes what was
/// added to the directory since, and the directory if it was made.
#[derive(Debug)]
pub struct ImageDir {
    path: PathBuf,
    before: HashSet<OsString>,
    made: bool,
    keep: bool,
}

/// The image directory cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ImageDirError {
    /// It holds a checkpoint already.
    #[error(
        "{0} holds a checkpoint already, which would be overwritten; remove it, or name another directory"
    )]
    Occupied(PathBuf),
    /// It cannot be made or listed.
    #[error("cannot use the image directory {path}")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ImageDir {
    /// Makes the directory (mode 0700) or takes the one that exists.
    ///
    /// # Errors
    /// See [`ImageDirError`].
    pub fn prepare(path: &Path) -> Result<Self, ImageDirError> {
        let unusable = |source| ImageDirError::Unusable {
            path: path.to_owned(),
            source,
        };
        let made = !path.exists();
        private::create_dir(path).map_err(unusable)?;
        let before = names(path).map_err(unusable)?;
        if before.contains(std::ffi::OsStr::new("inventory.img")) {
            return Err(ImageDirError::Occupied(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            before,
            made,
            keep: false,
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint is complete: everything stays.
    pub fn keep(mut self) {
        self.keep = true;
    }

    fn remove_additions(&self) -> io::Result<()> {
        if self.made {
            return std::fs::remove_dir_all(&self.path);
        }
        for name in names(&self.path)?.difference(&self.before) {
            let path = self.path.join(name);
            if path.symlink_metadata()?.is_dir() {
                std::fs::remove_dir_all(path)?;
            } else {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for ImageDir {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.remove_additions() {
            let path = self.path.display();
            tracing::error!(%path, %error, "cannot remove a partial checkpoint; remove it by hand");
        }
    }
}

fn names(path: &Path) -> io::Result<HashSet<OsString>> {
    std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_checkpoint_made_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let made = root.path().join("made");
        let images = ImageDir::prepare(&made).unwrap();
        std::fs::write(made.join("pages-1.img"), b"x").unwrap();
        drop(images);
        assert!(!made.exists());

        std::fs::write(root.path().join("users"), b"x").unwrap();
        let images = ImageDir::prepare(root.path()).unwrap();
        std::fs::write(root.path().join("pages-1.img"), b"x").unwrap();
        std::fs::create_dir(root.path().join("dir")).unwrap();
        drop(images);
        assert_eq!(names(root.path()).unwrap(), HashSet::from(["users".into()]));
    }

    #[test]
    fn a_finished_one_stays_and_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let images = ImageDir::prepare(root.path()).unwrap();
        std::fs::write(root.path().join("inventory.img"), b"x").unwrap();
        images.keep();
        let error = ImageDir::prepare(root.path()).unwrap_err();
        assert!(error.to_string().contains("another directory"));
        assert!(root.path().join("inventory.img").exists());
    }
}

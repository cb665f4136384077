//! A host's files, reached from this machine. (Between hosts files go over the
//! network: see [`crate::Link::copy_file`].)

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Host;

impl Host {
    /// The host's file `path` (absolute, as the host names it) under a name that
    /// works on this machine while the host runs. An absolute symbolic link on the
    /// way leads to this machine's file, not the host's.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        Path::new("/proc")
            .join(self.init_pid().to_string())
            .join("root")
            .join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Copies this machine's file `source` to the host's `destination`, with the
    /// mode `mode`. Directories on the way are made.
    ///
    /// # Errors
    /// One of the files cannot be read or written.
    pub fn install_file(&self, source: &Path, destination: &Path, mode: u32) -> Result<()> {
        let into = self.path(destination);
        let copy = || -> std::io::Result<()> {
            if let Some(parent) = into.parent() {
                fs::create_dir_all(parent)?;
            }
            // A program that runs cannot be written to, but it can be replaced.
            let beside = into.with_extension("new");
            fs::copy(source, &beside)?;
            fs::set_permissions(&beside, Permissions::from_mode(mode))?;
            fs::rename(&beside, &into)
        };
        copy().with_context(|| {
            format!(
                "cannot install {} as {} on host {}",
                source.display(),
                destination.display(),
                self.name()
            )
        })
    }

    /// Writes `contents` to the host's file `path`. Directories on the way are made.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_file(&self, path: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        let into = self.path(path);
        let write = || -> std::io::Result<()> {
            if let Some(parent) = into.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&into, contents)
        };
        write().with_context(|| format!("cannot write {path} on host {}", self.name()))
    }

    /// The contents of the host's file `path`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        fs::read(self.path(path))
            .with_context(|| format!("cannot read {path} on host {}", self.name()))
    }
}

//! A directory for what is only needed for a while.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A directory that only root can enter. It goes when this is dropped; what a process that was killed has
/// left goes when the next is made beside the same file.
pub(crate) struct Scratch {
    dir: TempDir,
    /// Locked for as long as somebody works there.
    _lock: File,
}

impl Scratch {
    /// Makes one beside `path`.
    ///
    /// # Errors
    /// There is no such directory, or no right to write there.
    pub(crate) fn beside(path: &Path, what: &str) -> Result<Self> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.{what}-");
        remove_left(parent, &prefix);
        let made = || -> std::io::Result<Self> {
            let dir = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)?;
            let lock = File::open(dir.path())?;
            lock.lock()?;
            Ok(Self { dir, _lock: lock })
        };
        made().with_context(|| format!("cannot make a directory in {}", parent.display()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes the directories in which nobody works any more.
fn remove_left(parent: &Path, prefix: &str) {
    for left in left(parent, prefix).unwrap_or_default() {
        tracing::debug!(path = %left.display(), "left by a process that was killed");
        if let Err(error) = std::fs::remove_dir_all(&left) {
            tracing::warn!(path = %left.display(), %error, "what a killed process has left stays");
        }
    }
}

fn left(parent: &Path, prefix: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(prefix);
        if is_ours && entry.file_type()?.is_dir() && File::open(entry.path())?.try_lock().is_ok() {
            left.push(entry.path());
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_has_left_goes_and_what_is_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("c.tar");
        let other = Scratch::beside(&root.path().join("d.tar"), "checkpoint").unwrap();
        let used = Scratch::beside(&path, "checkpoint").unwrap();
        let left = root.path().join(".c.tar.checkpoint-left");
        std::fs::create_dir_all(left.join("images")).unwrap();
        let next = Scratch::beside(&path, "checkpoint").unwrap();
        assert!(!left.exists());
        let mode = std::fs::metadata(next.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        for kept in [&other, &used, &next] {
            assert!(kept.path().is_dir());
        }
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}

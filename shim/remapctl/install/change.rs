//! One change to this host, and how it is taken back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{block, file};
use crate::host::shim::{self, Shim};

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "change")]
pub(crate) enum Change {
    /// The program is copied.
    Copy {
        /// The program.
        from: PathBuf,
        /// Where it goes.
        path: PathBuf,
    },
    /// A link is made.
    Link {
        /// Where it leads.
        to: PathBuf,
        /// The link.
        path: PathBuf,
    },
    /// A part is added to a file.
    Append {
        /// The file, which need not exist.
        path: PathBuf,
        /// The part.
        text: String,
    },
}

impl Change {
    /// What is changed.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Copy { path, .. } | Self::Link { path, .. } | Self::Append { path, .. } => path,
        }
    }

    /// Whether it is so.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn is_done(&self) -> Result<bool> {
        Ok(match self {
            Self::Copy { from, path } => {
                let read = |path: &Path| {
                    file::read(path).with_context(|| format!("cannot read {}", path.display()))
                };
                read(path)?.is_some_and(|there| read(from).is_ok_and(|new| new == Some(there)))
            }
            Self::Link { to, path } => fs::read_link(path).is_ok_and(|there| there == *to),
            Self::Append { path, text } => block::is_in(path, text)?,
        })
    }

    /// Why it must not be made where nothing of the like was noted: what is there is somebody else's.
    pub(super) fn obstacle(&self) -> Option<String> {
        let there = fs::symlink_metadata(self.path()).ok()?;
        let shown = self.path().display();
        match self {
            Self::Copy { .. }
                if there.is_file()
                    && shim::ask(self.path()).is_ok_and(|shim| shim != Shim::Other) =>
            {
                None
            }
            Self::Copy { .. } => Some(format!(
                "{shown} is there, and is not this project's shim: remove it, or name another directory with --dir"
            )),
            Self::Link { to, .. } if fs::read_link(self.path()).is_ok_and(|there| there == *to) => {
                None
            }
            Self::Link { .. } => Some(format!(
                "{shown} is there, and not by remapctl: remove it first if nobody needs it"
            )),
            Self::Append { .. } => None,
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// It is not made.
    pub(super) fn make(&self) -> Result<()> {
        let context = || format!("cannot make {}", self.path().display());
        match self {
            Self::Copy { from, path } => file::copy(from, path, 0o755).with_context(context),
            Self::Link { to, path } => file::link(to, path).with_context(context),
            Self::Append { path, text } => block::put(path, text),
        }
    }

    /// Takes it back; what was there before, `before`, is put in its place.
    ///
    /// # Errors
    /// It is not taken back, or somebody else has changed it.
    pub(super) fn take_back(&self, before: Option<&Path>) -> Result<()> {
        let context = || format!("cannot take back {}", self.path().display());
        let before = before.map(fs::read).transpose().with_context(context)?;
        match self {
            Self::Copy { path, .. } => match before {
                Some(before) => file::replace(path, &before, 0o755).with_context(context),
                None => file::remove(path).with_context(context),
            },
            Self::Link { path, .. } => match fs::symlink_metadata(path) {
                Ok(there) if !there.is_symlink() => {
                    bail!("{} is no link any more; it stays", path.display())
                }
                _ => file::remove(path).with_context(context),
            },
            Self::Append { path, .. } => block::take(path, before.as_deref()),
        }
    }

    /// Lines for a reader.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Copy { from, path } => {
                format!("  copy {} to {}\n", from.display(), path.display())
            }
            Self::Link { to, path } => format!("  link {} -> {}\n", path.display(), to.display()),
            Self::Append { path, text } => {
                let lines = text.lines().map(|line| format!("    + {line}\n"));
                format!("  add to {}\n{}", path.display(), lines.collect::<String>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_once_and_taken_back_unless_it_is_something_else_by_now() {
        let dir = tempfile::tempdir().unwrap();
        let change = Change::Link {
            to: "/bin/true".into(),
            path: dir.path().join("link"),
        };
        assert!(!change.is_done().unwrap() && change.obstacle().is_none());
        change.make().unwrap();
        assert!(change.is_done().unwrap() && change.obstacle().is_none());
        change.take_back(None).unwrap();
        change.take_back(None).unwrap();
        assert!(!change.is_done().unwrap());
        fs::write(change.path(), "mine").unwrap();
        assert!(change.obstacle().is_some());
        assert!(change.take_back(None).is_err());
        assert_eq!(fs::read(change.path()).unwrap(), b"mine");
    }

    #[test]
    fn a_copy_does_not_take_the_place_of_what_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (from, path) = (dir.path().join("new"), dir.path().join("shim"));
        fs::write(&from, "new").unwrap();
        let change = Change::Copy {
            from,
            path: path.clone(),
        };
        change.make().unwrap();
        assert!(change.is_done().unwrap());
        assert!(change.obstacle().is_some(), "a text is no shim");
        change.take_back(None).unwrap();
        assert!(!path.exists());
    }
}

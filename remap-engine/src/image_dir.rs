//! The image directory of a checkpoint that is being made.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::criu::running;
use crate::manifest;
use crate::private;
use crate::text;

/// Version of the journal's form.
const JOURNAL_VERSION: u32 = 1;

/// Guards the image directory: unless [`ImageDir::keep`] is called, dropping it removes what was
/// added to the directory since, and the directory if it was made.
///
/// A journal outside the directory says the same to whoever comes after a process that was killed:
/// see [`recover`].
#[derive(Debug)]
pub struct ImageDir {
    state: State,
    journal: PathBuf,
    keep: bool,
}

/// What was there before.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    #[serde(with = "crate::text")]
    path: PathBuf,
    /// Escaped as by [`text::escape`].
    before: BTreeSet<String>,
    /// Permissions of a directory that existed; none if it was made.
    mode: Option<u32>,
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
    /// Makes the directory (mode 0700) or takes the one that exists (an empty one gets that mode),
    /// and writes the journal.
    ///
    /// # Errors
    /// See [`ImageDirError`].
    pub fn prepare(path: &Path, journal: &Path) -> Result<Self, ImageDirError> {
        let unusable = |source| ImageDirError::Unusable {
            path: path.to_owned(),
            source,
        };
        let (before, mode) = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (BTreeSet::new(), None),
            Err(error) => return Err(unusable(error)),
            Ok(metadata) => {
                let mode = metadata.permissions().mode();
                (names(path).map_err(unusable)?, Some(mode))
            }
        };
        if before.contains("inventory.img") {
            return Err(ImageDirError::Occupied(path.to_owned()));
        }
        let state = State {
            version: JOURNAL_VERSION,
            path: path.to_owned(),
            before,
            mode,
        };
        write_journal(journal, &state).map_err(|source| ImageDirError::Unusable {
            path: journal.to_owned(),
            source,
        })?;
        let dir = Self {
            state,
            journal: journal.to_owned(),
            keep: false,
        };
        private::create_dir(path).map_err(unusable)?;
        if dir.state.before.is_empty() {
            // An empty one that the user made becomes what it would be if we had.
            std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        Ok(dir)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.state.path
    }

    /// The checkpoint is complete: everything stays.
    pub fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for ImageDir {
    fn drop(&mut self) {
        let undone = if self.keep {
            Ok(())
        } else {
            remove_additions(&self.state)
        };
        let ended = undone.and_then(|()| private::remove_if_exists(&self.journal));
        if let Err(error) = ended {
            let path = self.state.path.display();
            tracing::error!(%path, %error, "cannot remove a partial checkpoint; remove it by hand");
        }
    }
}

/// Removes the partial checkpoint of a process that was killed, by the journal that it left. One
/// that has its manifest is complete and stays. Without a journal there is nothing to do.
///
/// # Errors
/// The journal cannot be understood, CRIU does not end, or a file cannot be removed; the journal
/// stays then.
pub fn recover(journal: &Path) -> io::Result<()> {
    let text = match std::fs::read(journal) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let state: State = serde_json::from_slice(&text)?;
    if state.version != JOURNAL_VERSION {
        let version = state.version;
        let what = format!("{} has the unknown version {version}", journal.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // Nobody answers it any more, and containerd gives the delete action five seconds.
    running::wait_until_gone(&state.path, Duration::ZERO)?;
    if !state.path.join(manifest::FILE_NAME).exists() {
        remove_additions(&state)?;
    }
    private::remove_if_exists(journal)
}

fn write_journal(journal: &Path, state: &State) -> io::Result<()> {
    private::write(journal, &serde_json::to_vec(state)?)
}

/// Removes the files that a dump makes, if they were not there before, and the directory if it was
/// made for them. What others have put there meanwhile stays.
fn remove_additions(state: &State) -> io::Result<()> {
    let entries = match std::fs::read_dir(&state.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = text::escape(&entry.file_name());
        if !state.before.contains(&name) && is_dumps(&name) && !entry.file_type()?.is_dir() {
            std::fs::remove_file(entry.path())?;
        }
    }
    match state.mode {
        Some(mode) => std::fs::set_permissions(&state.path, Permissions::from_mode(mode)),
        None => match std::fs::remove_dir(&state.path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                let path = state.path.display();
                tracing::warn!(%path, "others use the image directory: it stays, with what is theirs");
                Ok(())
            }
            removed => removed,
        },
    }
}

/// Whether a file comes from a dump: CRIU's images and logs, the link to the images of an earlier
/// dump, runc's list of descriptors, and what this project adds.
fn is_dumps(name: &str) -> bool {
    const OTHERS: [&str; 5] = [
        "parent",
        "descriptors.json",
        "dump.log",
        "stats-dump",
        "irmap-cache",
    ];
    name.ends_with(".img") || name.starts_with("remap-") || OTHERS.contains(&name)
}

fn names(path: &Path) -> io::Result<BTreeSet<String>> {
    std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| text::escape(&entry.file_name())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ground {
        root: tempfile::TempDir,
    }

    impl Ground {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("taken")).unwrap();
            std::fs::write(root.path().join("taken/users"), b"x").unwrap();
            Self { root }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn prepare(&self, dir: &str) -> Result<ImageDir, ImageDirError> {
            ImageDir::prepare(&self.path(dir), &self.path("journal"))
        }

        fn dump_into(&self, dir: &str) {
            std::fs::write(self.path(dir).join("inventory.img"), b"x").unwrap();
            std::fs::write(self.path(dir).join("remap-plan.json.new"), b"x").unwrap();
        }

        fn assert_as_before(&self) {
            assert_eq!(
                names(self.root.path()).unwrap(),
                BTreeSet::from(["taken".into()])
            );
            assert_eq!(
                names(&self.path("taken")).unwrap(),
                BTreeSet::from(["users".into()])
            );
        }
    }

    #[test]
    fn what_a_failed_checkpoint_made_is_removed_and_nothing_else() {
        let ground = Ground::new();
        for dir in ["made", "taken"] {
            let images = ground.prepare(dir).unwrap();
            ground.dump_into(dir);
            drop(images);
            ground.assert_as_before();
        }
    }

    #[test]
    fn what_a_killed_one_left_is_removed_by_its_journal() {
        let ground = Ground::new();
        for dir in ["made", "taken"] {
            std::mem::forget(ground.prepare(dir).unwrap());
            ground.dump_into(dir);
            recover(&ground.path("journal")).unwrap();
            ground.assert_as_before();
            recover(&ground.path("journal")).unwrap();
        }
    }

    #[test]
    fn what_others_put_there_stays() {
        let ground = Ground::new();
        for (dir, expected) in [
            ("taken", &["another.img", "notes", "users"][..]),
            ("made", &["another.img", "notes"]),
        ] {
            let images = ground.prepare(dir).unwrap();
            ground.dump_into(dir);
            std::fs::create_dir(ground.path(dir).join("another.img")).unwrap();
            std::fs::write(ground.path(dir).join("notes"), b"x").unwrap();
            drop(images);
            let left = names(&ground.path(dir)).unwrap();
            assert_eq!(Vec::from_iter(left), expected);
            assert!(!ground.path("journal").exists());
        }
    }

    #[test]
    fn an_empty_directory_gets_its_permissions_back() {
        let ground = Ground::new();
        std::fs::create_dir(ground.path("empty")).unwrap();
        let mode = || {
            std::fs::metadata(ground.path("empty"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        std::fs::set_permissions(ground.path("empty"), Permissions::from_mode(0o751)).unwrap();
        let images = ground.prepare("empty").unwrap();
        assert_eq!(mode(), 0o700);
        drop(images);
        assert_eq!(mode(), 0o751);
    }

    #[test]
    fn a_complete_one_stays_after_a_kill() {
        let ground = Ground::new();
        std::mem::forget(ground.prepare("made").unwrap());
        std::fs::write(ground.path("made").join(manifest::FILE_NAME), b"x").unwrap();
        recover(&ground.path("journal")).unwrap();
        assert!(ground.path("made").join(manifest::FILE_NAME).exists());
        assert!(!ground.path("journal").exists());
    }

    #[test]
    fn a_finished_one_stays_and_is_not_overwritten() {
        let ground = Ground::new();
        let images = ground.prepare("made").unwrap();
        ground.dump_into("made");
        images.keep();
        let error = ground.prepare("made").unwrap_err();
        assert!(error.to_string().contains("another directory"));
        assert!(ground.path("made").join("inventory.img").exists());
    }

    #[test]
    fn the_journal_of_the_first_builds_is_understood() {
        let ground = Ground::new();
        let images = ground.path("taken");
        let text = include_str!("../testdata/notes-1/checkpoint.json");
        let text = text
            .replace("/srv/images", images.to_str().unwrap())
            .replace("notes", "users");
        ground.dump_into("taken");
        std::fs::write(ground.path("journal"), text).unwrap();
        recover(&ground.path("journal")).unwrap();
        ground.assert_as_before();
    }

    #[test]
    fn a_journal_of_another_version_is_left_alone() {
        let ground = Ground::new();
        let text = r#"{"version":9,"path":"/x","before":[],"mode":null}"#;
        std::fs::write(ground.path("journal"), text).unwrap();
        assert!(recover(&ground.path("journal")).is_err());
        assert!(ground.path("journal").exists());
    }
}

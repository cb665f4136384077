//! One thing that may go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

/// The document's version: fields are only added within one.
const VERSION: u32 = 1;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A temporary directory of containerd's or CRIU's.
    Temporary,
    /// A log of a failure.
    Log,
    /// A copy of the shim.
    Shim,
    /// A checkpoint.
    Checkpoint,
}

/// What happens with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "fate", content = "why")]
pub(crate) enum Fate {
    /// It would go.
    Goes,
    /// It stays, for this reason.
    Stays(String),
    /// It is gone.
    Removed,
    /// It could not be removed.
    Failed(String),
}

/// One thing.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where.
    pub(crate) path: PathBuf,
    /// What it takes on the disk.
    pub(crate) bytes: u64,
    /// How long it was not written to.
    #[serde(serialize_with = "seconds", rename = "age_seconds")]
    pub(crate) age: Duration,
    /// What happens with it.
    #[serde(flatten)]
    pub(crate) fate: Fate,
}

impl Item {
    /// Whether it would go.
    pub(crate) fn goes(&self) -> bool {
        self.fate == Fate::Goes
    }

    /// Removes it, if it goes.
    pub(super) fn remove(&mut self) {
        if !self.goes() {
            return;
        }
        self.fate = match remove(self.kind, &self.path) {
            Ok(()) => Fate::Removed,
            // Whose it is has done so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Fate::Removed,
            Err(error) => Fate::Failed(error.to_string()),
        };
    }
}

/// A checkpoint is renamed first: half of one is none. What is followed are directories, never links.
fn remove(kind: Kind, path: &Path) -> io::Result<()> {
    match kind {
        Kind::Log => fs::remove_file(path),
        Kind::Shim => {
            fs::remove_file(path)?;
            // Its directories, if nothing else is kept there.
            let mut dirs = path.ancestors().skip(1).take(2);
            let _ = dirs.try_for_each(fs::remove_dir);
            Ok(())
        }
        Kind::Temporary => fs::remove_dir_all(path),
        Kind::Checkpoint => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let gone = path.with_file_name(format!(".remap-pruned-{}-{name}", std::process::id()));
            fs::rename(path, &gone)?;
            fs::remove_dir_all(gone)
        }
    }
}

fn seconds<S: serde::Serializer>(age: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(age.as_secs())
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: u32,
    /// Nothing was removed.
    pub(super) dry_run: bool,
    /// What would go, or is gone, on the disk.
    pub(super) bytes: u64,
    /// Each thing.
    pub(super) items: Vec<Item>,
}

impl Report {
    pub(super) fn of(items: Vec<Item>, removed: bool) -> Self {
        let counts = |item: &&Item| matches!(item.fate, Fate::Goes | Fate::Removed);
        let bytes = items.iter().filter(counts).map(|item| item.bytes);
        Self {
            version: VERSION,
            dry_run: !removed,
            bytes: bytes.fold(0, u64::saturating_add),
            items,
        }
    }

    /// See the command line's help.
    pub(super) fn exit_code(&self) -> u8 {
        let failed = |item: &Item| matches!(item.fate, Fate::Failed(_));
        self.items.iter().any(failed).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_is_removed_and_a_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let item = |name: &str, fate| Item {
            kind: Kind::Log,
            path: dir.path().join(name),
            bytes: 3,
            age: Duration::ZERO,
            fate,
        };
        for name in ["goes", "stays"] {
            fs::write(dir.path().join(name), "log").unwrap();
        }
        fs::create_dir(dir.path().join("directory")).unwrap();
        let mut items = vec![
            item("goes", Fate::Goes),
            item("stays", Fate::Stays("new".into())),
            item("directory", Fate::Goes),
            item("gone", Fate::Goes),
        ];
        items.iter_mut().for_each(Item::remove);
        assert!(!dir.path().join("goes").exists() && dir.path().join("stays").exists());
        assert_eq!(items[0].fate, Fate::Removed);
        assert!(matches!(items[2].fate, Fate::Failed(_)));
        assert_eq!(items[3].fate, Fate::Removed);
        let report = Report::of(items, true);
        assert_eq!((report.bytes, report.exit_code()), (6, 1));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["items"][1]["fate"], "stays");
        assert_eq!(json["items"][1]["why"], "new");
    }
}

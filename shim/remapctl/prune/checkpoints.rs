//! Checkpoints in plain directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remap_engine::manifest::FILE_NAME;
use serde_json::Value;

use super::age;
use super::item::{Fate, Item, Kind};
use super::size;
use crate::host::used::Used;

/// So deep checkpoints are looked for below the directory that is named.
const DEPTH: usize = 16;

/// Those below `root`: the `keep` newest of each directory stay, and those that are not older than
/// `older_than`.
///
/// # Errors
/// A directory cannot be read, or is itself a checkpoint.
pub(super) fn find(root: &Path, older_than: Duration, keep: Option<usize>) -> Result<Vec<Item>> {
    ensure!(
        !root.join(FILE_NAME).exists(),
        "{} is a checkpoint itself; name the directory that it is in",
        root.display()
    );
    // In messages, and as others have it open, by its whole name.
    let root = root
        .canonicalize()
        .with_context(|| format!("cannot find {}", root.display()))?;
    let used = Used::look().context("/proc cannot be read")?;
    let mut items = Vec::new();
    look(&root, DEPTH, &mut |checkpoints: Vec<(
        PathBuf,
        Duration,
    )>| {
        for (rank, (path, age)) in checkpoints.into_iter().enumerate() {
            let fate = if keep.is_some_and(|keep| rank < keep) {
                Fate::Stays(format!(
                    "it is one of the {} newest",
                    keep.unwrap_or_default()
                ))
            } else if age < older_than {
                Fate::Stays("it is young".to_owned())
            } else if used.has(&path) {
                Fate::Stays("a process uses it".to_owned())
            } else {
                Fate::Goes
            };
            items.push(Item {
                kind: Kind::Checkpoint,
                bytes: size::of(&path),
                path,
                age,
                fate,
            });
        }
    })?;
    Ok(items)
}

/// Calls `found` with the checkpoints of each directory, the newest first. Links are not followed, and
/// what is in a checkpoint is its own.
fn look(dir: &Path, depth: usize, found: &mut impl FnMut(Vec<(PathBuf, Duration)>)) -> Result<()> {
    let context = || format!("cannot read {}", dir.display());
    let mut checkpoints = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match age_of(&entry.path()) {
            Some(age) => checkpoints.push((entry.path(), age)),
            None if depth > 0 => look(&entry.path(), depth - 1, found)?,
            None => {}
        }
    }
    checkpoints.sort_by(|(path, age), (other_path, other)| (age, path).cmp(&(other, other_path)));
    found(checkpoints);
    Ok(())
}

/// How old a checkpoint is; `None` if it is none. Its manifest is written last.
fn age_of(dir: &Path) -> Option<Duration> {
    let manifest = dir.join(FILE_NAME);
    let file = fs::symlink_metadata(&manifest)
        .ok()
        .filter(fs::Metadata::is_file)?;
    let document: Value = serde_json::from_slice(&fs::read(&manifest).ok()?).ok()?;
    document.get("version")?.as_u64()?;
    Some(age::of(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    #[test]
    fn the_newest_of_each_directory_stay_and_only_checkpoints_go() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, days) in [("web/1", 1), ("web/2", 2), ("web/3", 3), ("db/1", 9)] {
            let at = root.join(name);
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join(FILE_NAME), r#"{"version":1}"#).unwrap();
            let file = File::options()
                .append(true)
                .open(at.join(FILE_NAME))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400))
                .unwrap();
        }
        fs::create_dir_all(root.join("web/none")).unwrap();
        fs::write(root.join("web/none").join(FILE_NAME), "{}").unwrap();
        symlink("web/1", root.join("link")).unwrap();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let goes = |older, keep| {
            let found = find(&root, older, keep).unwrap();
            let goes = found.into_iter().filter(Item::goes);
            let mut names: Vec<String> = goes
                .map(|item| item.path.strip_prefix(&root).unwrap().display().to_string())
                .collect();
            names.sort();
            names
        };
        assert_eq!(goes(Duration::ZERO, Some(1)), ["web/2", "web/3"]);
        assert_eq!(goes(days(2), None), ["db/1", "web/2", "web/3"]);
        assert_eq!(goes(days(3), Some(1)), ["web/3"]);
        assert!(find(&root.join("web/1"), days(0), None).is_err());
    }
}

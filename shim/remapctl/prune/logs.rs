//! Logs of failures that the shim has kept.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::age;
use super::item::{Fate, Item, Kind};
use super::size;

/// Where they are, in a directory for each of containerd's namespaces.
const DIRECTORY: &str = "/var/log/containerd-shim-remap";

/// Those that are older than `limit` go; the others are not listed.
///
/// # Errors
/// They cannot be read.
pub(super) fn find(limit: Duration) -> Result<Vec<Item>> {
    find_in(Path::new(DIRECTORY), limit)
}

fn find_in(dir: &Path, limit: Duration) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for namespace in entries(dir)? {
        if !namespace.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        for entry in entries(&namespace.path())? {
            let Ok(file) = entry.metadata() else {
                continue;
            };
            let age = age::of(&file);
            if file.is_file() && age >= limit {
                items.push(Item {
                    kind: Kind::Log,
                    path: entry.path(),
                    bytes: size::of(&entry.path()),
                    age,
                    fate: Fate::Goes,
                });
            }
        }
    }
    Ok(items)
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>> {
    let all = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        all => all.and_then(Iterator::collect),
    };
    all.with_context(|| format!("cannot read {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("default")).unwrap();
        fs::write(dir.path().join("default/c-dump.log"), "x").unwrap();
        assert_eq!(
            find_in(dir.path(), Duration::from_secs(60)).unwrap().len(),
            0
        );
        let found = find_in(dir.path(), Duration::ZERO).unwrap();
        assert!(found.len() == 1 && found[0].goes());
        assert!(
            find_in(&dir.path().join("none"), Duration::ZERO)
                .unwrap()
                .is_empty()
        );
    }
}

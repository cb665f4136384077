//! What an image has of real software: its files as they are in its tree, and the libraries
//! that its programs and modules need.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layer::Layer;
use super::rootfs;
use crate::software::Software;

/// All files of `software`, and what they are linked with.
pub(super) fn add(layer: &mut Layer, tree: &Path, software: Software) -> Result<()> {
    let wanted = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str);
        !name.is_some_and(|name| software.left_out().contains(&name))
    };
    let mut programs = Vec::new();
    for pattern in software.paths() {
        for path in matching(tree, pattern)? {
            add_parents(layer, &path);
            let source = tree.join(&path);
            if source.is_dir() {
                layer.copy_tree(&path, &source, &wanted)?;
                find_programs(tree, &path, &wanted, &mut programs)?;
            } else {
                layer.copy(&path, &source);
                if is_elf(&source)? {
                    programs.push(path);
                }
            }
        }
    }
    rootfs::add_libraries(layer, tree, &programs)
}

/// What `pattern` stands for in the tree: itself, unless one of its names has a `*`.
fn matching(tree: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.split('/') {
        let Some((start, end)) = part.split_once('*') else {
            for path in &mut found {
                path.push(part);
            }
            continue;
        };
        let mut next = Vec::new();
        for path in found {
            let dir = tree.join(&path);
            for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
                let name = entry?.file_name();
                let fits = |name: &str| name.starts_with(start) && name.ends_with(end);
                if name.to_str().is_some_and(fits) {
                    next.push(path.join(name));
                }
            }
        }
        found = next;
    }
    // After a `*` there may be something that not all matches have.
    found.retain(|path| !pattern.contains('*') || tree.join(path).exists());
    Ok(found)
}

/// The directories above `path`: an archive has each before what is in it.
fn add_parents(layer: &mut Layer, path: &Path) {
    for parent in path.ancestors().skip(1) {
        if !parent.as_os_str().is_empty() {
            layer.directory(parent, 0o755);
        }
    }
}

/// What ld.so(8) loads below the directory `path` of the tree: programs and shared objects.
fn find_programs(
    tree: &Path,
    path: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    found: &mut Vec<PathBuf>,
) -> Result<()> {
    let dir = tree.join(path);
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        let path = path.join(entry.file_name());
        if !wanted(&path) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            find_programs(tree, &path, wanted, found)?;
        } else if kind.is_file() && is_elf(&entry.path())? {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether the file begins as elf(5) says, and is for the loader (and not, say, an object file).
fn is_elf(path: &Path) -> Result<bool> {
    const TYPE_OFFSET: usize = 16;
    let mut start = [0; TYPE_OFFSET + 2];
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    if file.read_exact(&mut start).is_err() {
        return Ok(false);
    }
    // ET_EXEC and ET_DYN.
    Ok(start.starts_with(b"\x7fELF") && matches!(start, [.., 2 | 3, 0]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{is_elf, matching};

    #[test]
    fn a_star_stands_for_what_is_there() {
        let tree = tempfile::tempdir().unwrap();
        for dir in ["usr/lib/one-gnu/part2", "usr/lib/two-gnu/other"] {
            fs::create_dir_all(tree.path().join(dir)).unwrap();
        }
        let found = |pattern| matching(tree.path(), pattern).unwrap();
        for pattern in ["usr/lib/*-gnu/part*", "usr/lib/*-gnu/part2"] {
            assert_eq!(found(pattern), [PathBuf::from("usr/lib/one-gnu/part2")]);
        }
        assert!(found("usr/lib/*-musl/part2").is_empty());
        // Missed when it is copied.
        assert_eq!(found("usr/none"), [PathBuf::from("usr/none")]);
    }

    #[test]
    fn only_what_can_be_loaded_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let is = |contents: &[u8]| {
            let path = dir.path().join("file");
            fs::write(&path, contents).unwrap();
            is_elf(&path).unwrap()
        };
        assert!(is_elf(Path::new("/proc/self/exe")).unwrap());
        assert!(!is(b"#!/bin/sh\necho a script, and a long one\n"));
        assert!(!is(b"\x7fELF"));
        // ET_REL: an object file.
        assert!(!is(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0"));
        assert!(is(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0"));
    }
}

//! The formats of cgroup files. A file that is missing, because its controller is off or the
//! kernel older, counts as zero: the other figures are still right.

use std::{collections::HashMap, path::Path};

/// A file with one number, or `max`.
pub(super) fn number(path: &Path) -> u64 {
    read(path)
        .map(|text| parse(text.trim()))
        .unwrap_or_default()
}

/// A file with a name and a number on each line.
pub(super) fn table(path: &Path) -> HashMap<String, u64> {
    read(path)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), parse(value.trim())))
        .collect()
}

/// A file with numbers only, such as `cpuacct.usage_percpu`.
pub(super) fn list(path: &Path) -> Vec<u64> {
    read(path)
        .unwrap_or_default()
        .split_whitespace()
        .map(parse)
        .collect()
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// No limit is the largest number, as containerd's own shims report it.
fn parse(value: &str) -> u64 {
    match value {
        "max" => u64::MAX,
        _ => value.parse().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(number(&path), 0);
        std::fs::write(&path, "max\n").unwrap();
        assert_eq!(number(&path), u64::MAX);
        std::fs::write(&path, "anon 12\nfile 3\nodd\n").unwrap();
        let values = table(&path);
        assert_eq!((values["anon"], values["file"], values.len()), (12, 3, 2));
        std::fs::write(&path, "1 2 3 \n").unwrap();
        assert_eq!(list(&path), [1, 2, 3]);
    }
}

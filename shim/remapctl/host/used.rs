//! What processes use.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The paths that the processes here have open, map, stand in, or name in their arguments.
#[derive(Debug, Default)]
pub(crate) struct Used {
    paths: BTreeSet<PathBuf>,
    arguments: Vec<Vec<u8>>,
}

impl Used {
    /// Looks at all processes but this one.
    ///
    /// # Errors
    /// There is no `/proc`. A process that ends meanwhile is none.
    pub(crate) fn look() -> io::Result<Self> {
        let mut used = Self::default();
        let own = std::process::id().to_string();
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let is_number = name.as_bytes().iter().all(u8::is_ascii_digit);
            if is_number && name != own.as_str() {
                used.add(&entry.path());
            }
        }
        Ok(used)
    }

    fn add(&mut self, process: &Path) {
        for link in ["cwd", "root", "exe"] {
            self.paths.extend(fs::read_link(process.join(link)));
        }
        for dir in ["fd", "map_files"] {
            let entries = fs::read_dir(process.join(dir)).into_iter().flatten();
            let links = entries.flatten().map(|entry| fs::read_link(entry.path()));
            self.paths.extend(links.flatten());
        }
        self.arguments.extend(fs::read(process.join("cmdline")));
    }

    /// Whether a process uses `dir`, or what is in it.
    pub(crate) fn has(&self, dir: &Path) -> bool {
        let mut from = self
            .paths
            .range::<Path, _>((Bound::Included(dir), Bound::Unbounded));
        let is_below = from.next().is_some_and(|path| path.starts_with(dir));
        let name = dir.as_os_str().as_bytes();
        let is_named = |text: &Vec<u8>| text.windows(name.len()).any(|part| part == name);
        is_below || self.arguments.iter().any(is_named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn what_a_process_stands_in_or_names_is_used() {
        let [stood, named, free] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let mut child = Command::new("sh")
            .args(["-c", "read x"])
            .arg(named.path())
            .current_dir(stood.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let used = Used::look();
        child.kill().unwrap();
        child.wait().unwrap();
        let used = used.unwrap();
        assert!(used.has(stood.path()) && used.has(named.path()) && !used.has(free.path()));
    }
}

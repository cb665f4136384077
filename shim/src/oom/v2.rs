//! The unified hierarchy: a counter in a file that tells of its changes (the kernel's
//! admin-guide/cgroup-v2.rst, "memory.events").

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::inotify;

use super::signal::Signal;

/// The watch.
#[derive(Debug)]
pub(crate) struct Watch {
    changes: Signal,
    counts: PathBuf,
    /// How often it has happened, as far as it was said.
    said: u64,
}

impl Watch {
    /// Watches the cgroup directory `path`.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags)?;
        let counts = path.join("memory.events");
        inotify::add_watch(&changes, &counts, inotify::WatchFlags::MODIFY)?;
        let said = kills(&counts)?;
        Ok(Self {
            changes: Signal::new(changes)?,
            counts,
            said,
        })
    }

    pub(super) async fn happened(&mut self) -> io::Result<()> {
        loop {
            self.changes.taken().await?;
            // Other counters of the file have changed, or it is gone.
            let kills = kills(&self.counts)?;
            if kills > self.said {
                self.said = kills;
                return Ok(());
            }
        }
    }

    pub(super) fn has_happened(&mut self) -> bool {
        let kills = kills(&self.counts).unwrap_or_default();
        let more = kills > self.said;
        self.said = self.said.max(kills);
        more
    }
}

/// How many processes were killed; `oom_kill` in lines of a name and a number.
fn kills(counts: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(counts)?;
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix("oom_kill "));
    Ok(values
        .next()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_more_kills_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.events");
        let set = |kills: u64| {
            let text = format!("low 0\noom 9\noom_kill {kills}\noom_group_kill 7\n");
            std::fs::write(&path, text).unwrap();
        };
        set(1);
        let mut watch = Watch::new(dir.path()).unwrap();
        assert!(!watch.has_happened());
        set(2);
        watch.happened().await.unwrap();
        assert!(!watch.has_happened());
        set(3);
        assert!(watch.has_happened() && !watch.has_happened());
    }

    #[test]
    fn a_cgroup_without_the_controller_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Watch::new(dir.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

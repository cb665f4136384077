//! Tests of capture and populate, on tmpfs, as root.

mod add;
mod changes;
mod crash;
mod hostile;
mod mounts;
mod own;
mod round_trip;
mod snapshot;
mod some;
mod together;
mod trees;

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{
    Beside, Captured, Mode, PopulateError, Populated, Request, capture, capture_inodes, populate,
};

/// A source and a target on tmpfs, and a place for archive, stash and journal.
struct Ground {
    source: TempDir,
    target: TempDir,
    work: TempDir,
}

impl Ground {
    fn new() -> Self {
        Self {
            source: tempfile::tempdir_in("/dev/shm").unwrap(),
            target: tempfile::tempdir_in("/dev/shm").unwrap(),
            work: tempfile::tempdir().unwrap(),
        }
    }

    fn source(&self) -> &Path {
        self.source.path()
    }

    fn target(&self) -> &Path {
        self.target.path()
    }

    fn archive(&self) -> PathBuf {
        self.work.path().join("a.tar")
    }

    fn stash(&self) -> PathBuf {
        self.work.path().join("stash.tar")
    }

    fn journal(&self) -> PathBuf {
        self.work.path().join("journal.json")
    }

    fn capture(&self) -> Captured {
        capture_to(self.source(), &self.archive())
    }

    fn replace(&self) -> Result<Populated, PopulateError> {
        self.populate(Mode::Replace {
            stash: self.stash(),
        })
    }

    fn add(&self) -> Result<Populated, PopulateError> {
        self.populate(Mode::Add(Beside::default()))
    }

    fn populate(&self, mode: Mode) -> Result<Populated, PopulateError> {
        populate(&Request {
            archive: &self.archive(),
            target: self.target(),
            journal: &self.journal(),
            mode,
        })
    }

    /// Nothing is left beside the archive.
    fn assert_clean(&self) {
        let mut names: Vec<_> = std::fs::read_dir(self.work.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.retain(|name| name != "a.tar");
        assert!(names.is_empty(), "left over: {names:?}");
    }
}

fn capture_to(source: &Path, archive: &Path) -> Captured {
    let out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(archive)
        .unwrap();
    capture(File::open(source).unwrap().as_fd(), out).unwrap()
}

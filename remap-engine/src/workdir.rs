//! Where the engine keeps its files in a bundle.

use std::path::{Path, PathBuf};

/// The directory `remap` in a bundle: private, and gone with the bundle.
#[derive(Debug, Clone)]
pub struct WorkDir(PathBuf);

impl WorkDir {
    /// That of a bundle.
    #[must_use]
    pub fn of(bundle: &Path) -> Self {
        Self(bundle.join("remap"))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration that CRIU reads.
    #[must_use]
    pub fn criu_config(&self) -> PathBuf {
        self.0.join("criu.conf")
    }

    /// The meeting point of a dump that is under way.
    #[must_use]
    pub fn hold(&self) -> PathBuf {
        self.0.join("hold")
    }

    /// Says what a checkpoint that is under way has made.
    #[must_use]
    pub fn checkpoint_journal(&self) -> PathBuf {
        self.0.join("checkpoint.json")
    }

    /// The plan of a dump that is under way.
    #[must_use]
    pub fn dump_plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// Says at which moment the container, or one that moves with it, was saved last.
    #[must_use]
    pub fn moment(&self) -> PathBuf {
        self.0.join("moment.json")
    }

    /// Says where the container was restored, if it was with others.
    #[must_use]
    pub fn restored_together(&self) -> PathBuf {
        self.0.join("together.json")
    }

    /// Says what a restore that is under way has begun with.
    #[must_use]
    pub fn restore_journal(&self) -> PathBuf {
        self.0.join("restore.json")
    }

    /// Says which names a restore that is under way makes.
    #[must_use]
    pub fn relink_note(&self) -> PathBuf {
        self.0.join("relink.json")
    }

    /// Says which names a restore that is under way has made for CRIU.
    #[must_use]
    pub fn links_journal(&self) -> PathBuf {
        self.0.join("links.json")
    }

    /// What a restore that is under way needs for its roll-back: the old contents of the mounts.
    #[must_use]
    pub fn stash(&self) -> PathBuf {
        self.0.join("stash")
    }
}

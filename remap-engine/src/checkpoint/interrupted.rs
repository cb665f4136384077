//! A checkpoint whose process was killed in the middle of it.

use std::path::Path;

use super::links::Links;
use super::network;
use crate::image_dir;
use crate::network_lock::LockedNetwork;
use crate::phase::BoxError;
use crate::process::Process;
use crate::workdir::WorkDir;

/// What such a checkpoint may have left. It is looked for while the container still exists, by way
/// of which CRIU's links and network lock are reached, and taken back when the container's tasks are
/// killed.
pub struct Interrupted {
    work: WorkDir,
    links: Option<Links>,
    network: Option<LockedNetwork>,
}

impl Interrupted {
    /// That of the container with this bundle and init; `None` if no checkpoint was under way.
    #[must_use]
    pub fn find(bundle: &Path, init_pid: i32) -> Option<Self> {
        let work = WorkDir::of(bundle);
        if !work.checkpoint_journal().exists() {
            return None;
        }
        let init = Process::pin(init_pid)
            .inspect_err(|error| tracing::info!(%error, "the container ended before"))
            .ok();
        Some(Self {
            links: Links::left(init.as_ref(), &work),
            network: init.and_then(|init| LockedNetwork::of(&init).ok()?),
            work,
        })
    }

    /// Ends the CRIU that is still there, and removes its links, its network lock and, unless it is
    /// complete, the checkpoint.
    ///
    /// # Errors
    /// The partial checkpoint cannot be removed; the rest is done all the same.
    pub fn take_back(self) -> Result<(), BoxError> {
        let images = image_dir::recover(&self.work.checkpoint_journal());
        drop(self.links);
        if let Some(network) = &self.network {
            network::unlock_namespace(network);
        }
        Ok(images?)
    }
}

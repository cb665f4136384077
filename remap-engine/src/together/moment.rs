//! The moment at which containers were saved that move together: a note in each bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::group::FreezeGroup;
use super::still::Stillness;
use crate::mountinfo::Device;
use crate::private;
use crate::process::Process;
use crate::workdir::WorkDir;

/// A container that was saved at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Saved {
    /// It ended with its checkpoint.
    Ended,
    /// It was to go on; so it stood still after its checkpoint.
    GoesOn(Stillness),
}

/// What a container knows of the last moment at which it or another that moves with it was saved.
/// It holds for as long as the container does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Names it.
    pub(super) id: String,
    /// The containers that belong to it.
    pub(super) members: BTreeSet<String>,
    /// How the container stood still at the moment.
    pub(super) still: Stillness,
    /// Those that are saved.
    pub(super) saved: BTreeMap<String, Saved>,
    /// The inodes that they share with it.
    pub(super) shared: Vec<(Device, BTreeSet<u64>)>,
}

impl Moment {
    /// That of the container with this bundle and init, if it has not run since.
    pub(crate) fn of(bundle: &Path, init: &Process) -> Option<Self> {
        let moment = Self::read(bundle)?;
        let still = Stillness::of(&FreezeGroup::of(init)?)?;
        (still == moment.still).then_some(moment)
    }

    /// Whether others have saved inodes of a file system that are the container's as well.
    pub(crate) fn is_shared(&self, device: Device) -> bool {
        self.shared.iter().any(|(shared, _)| *shared == device)
    }

    /// The note in a bundle, whether it holds or not; one that cannot be read is none.
    pub(super) fn read(bundle: &Path) -> Option<Self> {
        let text = std::fs::read(WorkDir::of(bundle).moment()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Leaves the note in a bundle.
    pub(super) fn write(&self, bundle: &Path) -> io::Result<()> {
        private::write(&WorkDir::of(bundle).moment(), &serde_json::to_vec(self)?)
    }
}

//! Where the containers of a moment have been restored: a note in each bundle.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Together;
use crate::bundle::Bundle;
use crate::fit::Place;
use crate::mountinfo::Device;
use crate::private;
use crate::workdir::WorkDir;

/// A container that was restored with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Restored {
    #[serde(flatten)]
    together: Together,
    /// The directories that have what they share.
    places: Vec<Where>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Where {
    device: Device,
    inode: u64,
    #[serde(with = "crate::text")]
    source: PathBuf,
}

/// The container cannot come to the others of its moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTogether {
    /// They are elsewhere.
    #[error(
        "the container shares files with {other}, which was restored on this host with {}; bind that directory here, too, or remove {other} and restore all of them anew", place.display()
    )]
    Elsewhere {
        /// The bundle's id of one of them.
        other: String,
        /// Its directory.
        place: PathBuf,
    },
    /// They are of another moment, or have gone on without it.
    #[error(
        "the container shares files with {other}, which is here from another moment and has gone on; remove it, and restore all of them from checkpoints that were taken while all were paused"
    )]
    OtherMoment {
        /// The bundle's id of one of them.
        other: String,
    },
}

/// Checks that the containers of the moment which are here are waiting for this one where it goes;
/// `waits` says whether a directory still has what is kept for it.
///
/// # Errors
/// See [`NotTogether`].
pub(crate) fn check(
    bundle: &Bundle,
    together: &Together,
    places: &[&Place],
    waits: impl Fn(&Path) -> bool,
) -> Result<(), NotTogether> {
    let all = beside(bundle);
    for (other, one) in &all {
        if !one.together.members.contains(&together.member) {
            continue;
        }
        let is_here = |place: &&Where| {
            let here = |own: &&Place| (own.device, own.inode) == (place.device, place.inode);
            places.iter().any(here)
        };
        let same_moment = one.together.moment == together.moment;
        if one.places.iter().all(|place| is_here(&place)) {
            let all_wait = one.places.iter().all(|place| waits(&place.source));
            if !same_moment || !all_wait {
                return Err(NotTogether::OtherMoment {
                    other: other.clone(),
                });
            }
            continue;
        }
        let has_come = all.iter().any(|(_, third)| {
            third.together.moment == one.together.moment
                && third.together.member == together.member
                && third.places == one.places
        });
        if has_come {
            // A circle of its own, which is complete.
            continue;
        }
        let source = one.places.iter().find(|place| !is_here(place));
        return Err(match source {
            Some(place) if same_moment => NotTogether::Elsewhere {
                other: other.clone(),
                place: place.source.clone(),
            },
            _ => NotTogether::OtherMoment {
                other: other.clone(),
            },
        });
    }
    Ok(())
}

/// Notes that the container is here, before its tasks are.
///
/// # Errors
/// The note cannot be written.
pub(crate) fn note(bundle: &Path, together: &Together, places: &[&Place]) -> io::Result<()> {
    let places = places.iter().map(|place| Where {
        device: place.device,
        inode: place.inode,
        source: place.source.clone(),
    });
    let restored = Restored {
        together: together.clone(),
        places: places.collect(),
    };
    let text = serde_json::to_vec(&restored)?;
    private::write(&WorkDir::of(bundle).restored_together(), &text)
}

/// The restore has failed.
pub(crate) fn forget(bundle: &Path) {
    let note = WorkDir::of(bundle).restored_together();
    if let Err(error) = private::remove_if_exists(&note) {
        tracing::warn!(%error, "a container that is not here is noted as restored");
    }
}

/// The notes in the bundles beside, with the id of each.
fn beside(bundle: &Bundle) -> Vec<(String, Restored)> {
    let beside = bundle.path.parent().map(std::fs::read_dir);
    let entries = beside.into_iter().flatten().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let others = paths.filter(|path| *path != bundle.path);
    let read = |path: PathBuf| {
        let text = std::fs::read(WorkDir::of(&path).restored_together()).ok()?;
        let id = path.file_name()?.to_string_lossy().into_owned();
        Some((id, serde_json::from_slice(&text).ok()?))
    };
    others.filter_map(read).collect()
}

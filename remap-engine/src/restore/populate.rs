//! The contents of one mount, on the target.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::carry::{self, Beside, Mode, PopulateError, Populated};
use crate::fit::Place;
use crate::manifest::FileSystem;
use crate::ownership::{self, Bystanders, Wanted};
use crate::phase::BoxError;
use crate::sockets;

use super::RestoreRequest;
use super::companions::Companions;

/// By which journals are found in the directory of the stashes.
pub(super) const JOURNAL_EXTENSION: &str = "json";

/// Populates one place. What is needed to undo it lies in `stash`.
///
/// # Errors
/// The place is in use, lacks room, or has a name that conflicts. It is as it was.
pub(super) fn populate(
    request: &RestoreRequest,
    stash: &Path,
    index: usize,
    place: &Place,
    companions: &Companions,
) -> Result<Populated, BoxError> {
    let wanted = Wanted {
        device: place.device,
        extent: place.extent()?,
        directories: true,
        own: HashSet::new(),
    };
    let others = ownership::other_users(&[wanted], &HashSet::new(), &Bystanders::default())?;
    let held = others.iter().flat_map(|others| &others.inodes);
    let held: HashSet<u64> = held.map(|(inode, _)| *inode).collect();
    let others = others.iter().flat_map(|others| &others.users);
    let mut users: Vec<String> = others.map(ToString::to_string).collect();
    let sockets = sockets::live(&place.source)?;
    users.extend(
        sockets
            .iter()
            .map(|path| format!("the listener on {}", path.display())),
    );
    for user in &users {
        tracing::info!(user, target = %place.source.display(), "the target is in use: nothing there is replaced");
    }
    let mode = if users.is_empty() && !place.partial {
        Mode::Replace {
            stash: stash.join(format!("old-{index}.tar")),
        }
    } else {
        let is_here = place.origin == Some(FileSystem::here(place.device)?);
        Mode::Add(Beside {
            held_here: is_here.then_some(held),
            together: companions.at(place),
        })
    };
    let populated = carry::populate(&carry::Request {
        archive: &request.image_dir.join(&place.archive),
        target: &place.source,
        journal: &stash.join(format!("journal-{index}.{JOURNAL_EXTENSION}")),
        mode,
    });
    populated.map_err(|source| {
        let target = place.source.clone();
        Box::new(PlaceError {
            target,
            users,
            partial: place.partial,
            source,
        })
        .into()
    })
}

/// A mount of the target cannot be populated.
#[derive(Debug, thiserror::Error)]
#[error("cannot populate {target}{}{}", in_use(.users), only_some(.partial))]
struct PlaceError {
    target: PathBuf,
    users: Vec<String>,
    partial: bool,
    #[source]
    source: PopulateError,
}

fn in_use(users: &[String]) -> String {
    if users.is_empty() {
        String::new()
    } else {
        format!(", which is in use by {}", users.join(", "))
    }
}

fn only_some(partial: &bool) -> &'static str {
    if *partial {
        ", to which the checkpoint only adds: others shared the tmpfs when it was taken"
    } else {
        ""
    }
}

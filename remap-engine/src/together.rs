//! Containers that share inodes of a tmpfs and move together.
//!
//! Each is checkpointed for itself, one after the other. What they share is right afterwards if all
//! of them stood still from before the first checkpoint to the last: then all were saved at one
//! *moment*, whatever the order. That they stand still is not believed but seen: a process of another
//! container counts as moving along only if its container is declared ([`MOVES_WITH`]), is known by
//! its bundle and its control group, shows the same directory of the tmpfs, and is frozen.
//!
//! | what | who | where |
//! |---|---|---|
//! | `Neighbours` | who the others are, and which of them move along | the bundles beside this one |
//! | `Circle` | that they stand still while one is saved; the moment, for those who come after | `moment.json` in each bundle |
//! | `restored` | that a container comes to where the others of its moment are | `together.json` in each bundle |
//! | [`carry::Together`](crate::carry::Together) | that they get the same inodes | the tmpfs itself |

mod circle;
mod group;
mod ipc;
mod moment;
mod neighbour;
pub(crate) mod restored;
mod still;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;

pub(crate) use self::circle::Circle;
pub(crate) use self::moment::Moment;
pub(crate) use self::neighbour::Neighbours;

/// The annotation that names the containers, by their ids, with which this one moves.
pub const MOVES_WITH: &str = "io.remap.moves-with";

/// By this annotation of containerd's CRI plugin the containers of a pod are known: they move together.
const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";

/// With which containers one is to be restored. Part of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// Names the moment at which all of them stood still.
    pub moment: String,
    /// The container's id.
    pub member: String,
    /// The ids of all of them.
    pub members: BTreeSet<String>,
    /// Those that have to be restored before this one: they may have run on between their checkpoint
    /// and this one.
    #[serde(default)]
    pub after: BTreeSet<String>,
}

/// Whether a container says by itself with whom it moves, is one of a pod, or may share its `/dev/shm`
/// by nerdctl.
#[must_use]
pub fn is_declared(bundle: &Bundle) -> bool {
    declared(bundle).next().is_some()
        || bundle.annotations.contains_key(SANDBOX)
        || ipc::owner(bundle).is_some()
}

/// The ids in [`MOVES_WITH`], which are separated by commas or spaces.
fn declared(bundle: &Bundle) -> impl Iterator<Item = &str> {
    let ids = bundle.annotations.get(MOVES_WITH).map(String::as_str);
    let ids = ids.unwrap_or_default().split([',', ' ']);
    ids.filter(|id| !id.is_empty())
}

/// The id of the container of a bundle: containerd names the directory so.
fn id_of(bundle: &Bundle) -> String {
    let name = bundle.path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

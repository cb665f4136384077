//! Copies of the shim that were kept for containers which ran when it was uninstalled.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::age;
use super::item::{Fate, Item, Kind};
use super::size;
use crate::host::bundles;
use crate::install::kept;

/// The copy, which goes when no container has it any more.
///
/// # Errors
/// It cannot be told which containers there are.
pub(super) fn find(states: &[PathBuf]) -> Result<Vec<Item>> {
    let path = kept::path();
    let Ok(file) = fs::symlink_metadata(&path) else {
        return Ok(vec![]);
    };
    let mut users = 0;
    for state in states {
        let shims = bundles::all(state)?
            .into_iter()
            .filter_map(|bundle| bundles::shim_of(&bundle));
        users += shims.filter(|shim| *shim == path).count();
    }
    let fate = match users {
        0 => Fate::Goes,
        users => Fate::Stays(format!("{users} of the containers here run by it")),
    };
    Ok(vec![Item {
        kind: Kind::Shim,
        bytes: size::of(&path),
        path,
        age: age::of(&file),
        fate,
    }])
}

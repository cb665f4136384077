//! Names that look deleted: whether they are.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::mountinfo::Device;
use crate::process::{FileUse, Process, strip_deleted};

/// The state of a name that ends in ` (deleted)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameState {
    /// The name, as shown, leads to the inode.
    Live,
    /// Only the name without the suffix leads to the inode: the kernel's entry is stale.
    Stale,
    /// Neither does.
    Gone,
}

/// What became of every name that ends in ` (deleted)`, in the view of the container's init.
#[derive(Debug, Clone, Default)]
pub struct DeletedNames(HashMap<(Device, u64, OsString), NameState>);

impl DeletedNames {
    /// Looks for the names by which `uses` hold their files. `root` is the container's init.
    pub(super) fn look(root: &Process, uses: &[FileUse]) -> Self {
        let mut names = Self::default();
        for one in uses {
            names.note(one, |one| state_of(root, one));
        }
        names
    }

    /// Notes the state of a name, if it looks deleted and is not known.
    pub(crate) fn note(&mut self, one: &FileUse, state: impl FnOnce(&FileUse) -> NameState) {
        if strip_deleted(&one.name).is_some() {
            let known = self.0.entry((one.device, one.inode, one.name.clone()));
            known.or_insert_with(|| state(one));
        }
    }

    /// The state of the name by which a file is held; `None` if it does not look deleted.
    #[must_use]
    pub fn state(&self, one: &FileUse) -> Option<NameState> {
        let known = (one.device, one.inode, one.name.clone());
        self.0.get(&known).copied()
    }
}

fn state_of(root: &Process, one: &FileUse) -> NameState {
    let leads_there =
        |name: &OsStr| root.identity(Path::new(name)) == Some((one.device, one.inode));
    if leads_there(&one.name) {
        NameState::Live
    } else if strip_deleted(&one.name).is_some_and(leads_there) {
        NameState::Stale
    } else {
        NameState::Gone
    }
}

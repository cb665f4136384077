//! The note of a restore that makes names, for whoever comes after a process that was killed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::RelinkError;
use crate::ghosts::{GhostAttributes, GhostDirectory, GhostName};
use crate::mountinfo::Device;
use crate::private;

/// Version of the note.
const VERSION: u32 = 1;

/// What is noted of one ghost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NotedGhost {
    /// The directory on the host in which the names are.
    #[serde(with = "crate::text")]
    pub(super) target: PathBuf,
    /// Its `st_dev` and inode number.
    pub(super) device: Device,
    pub(super) root: u64,
    /// CRIU's number of the ghost.
    pub(super) id: u32,
    /// The path of its first client, below the target.
    #[serde(with = "crate::text")]
    pub(super) beside: PathBuf,
    /// The names to be made, below the target.
    pub(super) names: Vec<GhostName>,
    /// What it is to have besides.
    pub(super) attributes: GhostAttributes,
    /// The directories that are to be made for them, those above first.
    pub(super) missing: Vec<GhostDirectory>,
    /// The inode that CRIU has made, once it is known.
    pub(super) inode: Option<u64>,
}

/// The note, as it is in its file.
#[derive(Debug)]
pub(super) struct Note {
    path: PathBuf,
    contents: Contents,
}

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    version: u32,
    ghosts: Vec<NotedGhost>,
}

impl Note {
    /// One that is not written yet.
    pub(super) fn new(path: &Path, ghosts: Vec<NotedGhost>) -> Self {
        let contents = Contents {
            version: VERSION,
            ghosts,
        };
        Self {
            path: path.to_owned(),
            contents,
        }
    }

    /// `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, RelinkError> {
        let read = RelinkError::io("read", path);
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(read)?,
        };
        let understand = RelinkError::io("understand", path);
        let contents: Contents = serde_json::from_slice(&text).map_err(understand)?;
        if contents.version != VERSION {
            let what = format!("unknown version {}", contents.version);
            let unknown = io::Error::new(io::ErrorKind::InvalidData, what);
            return Err(RelinkError::io("understand", path)(unknown));
        }
        Ok(Some(Self {
            path: path.to_owned(),
            contents,
        }))
    }

    pub(super) fn ghosts(&self) -> &[NotedGhost] {
        &self.contents.ghosts
    }

    /// Notes the inodes of the ghosts, in their order.
    pub(super) fn set_inodes(&mut self, inodes: Vec<u64>) -> Result<(), RelinkError> {
        for (ghost, inode) in self.contents.ghosts.iter_mut().zip(inodes) {
            ghost.inode = Some(inode);
        }
        self.store()
    }

    pub(super) fn remove(self) -> Result<(), RelinkError> {
        private::remove_if_exists(&self.path).map_err(RelinkError::io("remove", &self.path))
    }

    pub(super) fn store(&self) -> Result<(), RelinkError> {
        let text =
            serde_json::to_vec(&self.contents).map_err(RelinkError::io("write", &self.path))?;
        private::write(&self.path, &text).map_err(RelinkError::io("write", &self.path))
    }
}

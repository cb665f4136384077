//! What can go wrong with the names of ghosts.

use std::io;
use std::path::PathBuf;

/// The names of ghosts cannot be made, or not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum RelinkError {
    /// The container has no such mount here.
    #[error(
        "the checkpoint has files of {0} in its images, but the container has no bind mount there; add one"
    )]
    NoBind(PathBuf),
    /// A name of the manifest leads elsewhere.
    #[error(
        "the manifest names {0:?}, which is no path below a mount point; the checkpoint is damaged"
    )]
    Malformed(PathBuf),
    /// Others have the names.
    #[error(
        "names that the checkpoint wants to make exist already: {}; remove them, or let the container have another directory there",
        list(.0)
    )]
    Taken(Vec<PathBuf>),
    /// CRIU has not made the ghost where it should be.
    #[error("CRIU has made no ghost {id:x} beside {beside}; somebody has removed it")]
    NoGhost {
        /// The path of the first client.
        beside: PathBuf,
        /// The ghost.
        id: u32,
    },
    /// The file system says no.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let paths = paths.iter().map(|path| path.display().to_string());
    paths.collect::<Vec<_>>().join(", ")
}

impl RelinkError {
    /// An error of the file system.
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}

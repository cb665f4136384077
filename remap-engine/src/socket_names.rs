//! Unix sockets whose file has another name than the one under which they were bound.
//!
//! CRIU binds a socket under the name that the kernel knows, which is the one that it was bound under
//! (`unix_process_name`), even if it has seen where the file is by now (`unix_resolve_name`): after a
//! restore nobody would find it. So in the images it gets the name that it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::criu::image::ImageError;
use crate::criu::unix_socket;
use crate::obstacle::Kind;
use crate::plan::RemapPlan;

/// A socket cannot get its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketNameError {
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// CRIU has not dumped it.
    #[error(
        "CRIU's images have no Unix socket with inode {socket}, whose name is {}; try again",
        name.display()
    )]
    Missing {
        /// Its inode.
        socket: u64,
        /// Its name, in the container.
        name: PathBuf,
    },
}

/// Gives the sockets of the plan, in the images in `dir`, the names that they have. CRIU is held.
/// Nothing is synced.
///
/// # Errors
/// See [`SocketNameError`].
pub(crate) fn give(plan: &RemapPlan, dir: &Path) -> Result<(), SocketNameError> {
    let names = names(plan);
    if names.is_empty() {
        return Ok(());
    }
    let found = unix_socket::rename(dir, &names)?;
    match names
        .into_iter()
        .find(|(socket, _)| !found.contains(socket))
    {
        Some((socket, name)) => Err(SocketNameError::Missing { socket, name }),
        None => Ok(()),
    }
}

/// The names that the sockets have, by their inodes.
fn names(plan: &RemapPlan) -> BTreeMap<u64, PathBuf> {
    let renamed = plan.obstacles.iter().filter_map(|one| match &one.kind {
        Kind::UnixRenamed { socket, name } => Some((*socket, name.clone())),
        _ => None,
    });
    renamed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::image::{Format, Magic};
    use crate::obstacle::Obstacle;

    #[test]
    fn one_that_is_not_in_the_images_is_told() {
        let mut plan = RemapPlan {
            version: crate::plan::PLAN_VERSION,
            map: Default::default(),
            files: vec![],
            exec_sessions: vec![],
            obstacles: vec![],
            ghost_limit_bytes: 0,
        };
        let dir = tempfile::tempdir().unwrap();
        // Nothing is looked at.
        give(&plan, dir.path()).unwrap();
        let kind = Kind::UnixRenamed {
            socket: 7,
            name: "/run/s".into(),
        };
        plan.obstacles.push(Obstacle {
            kind,
            holders: vec![],
        });
        assert!(matches!(
            give(&plan, dir.path()),
            Err(SocketNameError::Image(ImageError::Read { .. }))
        ));
        let image = Format::V1_1.header(Magic::Files);
        std::fs::write(dir.path().join("files.img"), image).unwrap();
        let error = give(&plan, dir.path()).unwrap_err().to_string();
        assert!(error.contains("inode 7, whose name is /run/s"), "{error}");
    }
}

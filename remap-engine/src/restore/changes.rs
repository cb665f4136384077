//! What a restore changes on the target before its tasks run, and how that is undone.

use std::io;
use std::path::Path;

use crate::carry::{PopulateError, Populated};
use crate::fit::Place;
use crate::linked::{Links, Made};
use crate::phase::{BoxError, Phase, PhaseError, report};
use crate::private;
use crate::relink::{Relink, RelinkError};
use crate::workdir::WorkDir;

use super::RestoreRequest;
use super::companions::Companions;
use super::populate::populate;

/// The changes so far. Each has a journal in the bundle, so that [`super::recover`] undoes those of
/// a process that was killed.
#[must_use = "commit them or roll them back"]
pub(super) struct Changes {
    work: WorkDir,
    /// The mounts that have their contents.
    mounts: Vec<Populated>,
    /// The names that CRIU asks for.
    links: Option<Made>,
    /// The names of ghosts, made while CRIU is held.
    pub(super) ghosts: Relink,
}

impl Changes {
    /// None yet.
    pub(super) fn begin(work: WorkDir, ghosts: Relink) -> Self {
        Self {
            work,
            mounts: Vec::new(),
            links: None,
            ghosts,
        }
    }

    /// Puts the contents into every place.
    ///
    /// # Errors
    /// One cannot be populated; it is as it was, and those before it are among the changes.
    pub(super) fn populate(
        &mut self,
        request: &RestoreRequest,
        places: &[Place],
        companions: &Companions,
    ) -> Result<(), BoxError> {
        private::create_dir(&self.work.stash())?;
        for (index, place) in places.iter().enumerate() {
            let stash = self.work.stash();
            let populated = populate(request, &stash, index, place, companions)?;
            self.mounts.push(populated);
        }
        Ok(())
    }

    /// Makes the names that CRIU will ask for.
    ///
    /// # Errors
    /// One cannot be made; none is there.
    pub(super) fn link(&mut self, links: Links) -> Result<(), BoxError> {
        self.links = Some(links.make(&self.work.links_journal())?);
        Ok(())
    }

    /// The tasks run: the old contents of the mounts are given up. What cannot be removed is logged;
    /// it lies in the bundle and goes with it.
    pub(super) fn commit(self) {
        if let Err(error) = Phase::Commit.run(|| self.end(Relink::commit, Populated::commit)) {
            let error = report(&error);
            tracing::warn!(error, "something of a restore that has succeeded stays");
        }
    }

    /// The restore has failed, and no task of it is left: undoes the changes. What cannot be undone
    /// is added to the error, which is returned.
    pub(super) fn rollback(self, mut error: PhaseError) -> PhaseError {
        if let Err(stays) = self.end(Relink::rollback, Populated::rollback) {
            error.source = format!("{}; moreover {stays}", report(&*error.source)).into();
        }
        error
    }

    /// Ends every change, also after one that fails. The names for CRIU go in any case: it needs them
    /// only until it has opened the files.
    fn end(
        self,
        end_ghosts: impl FnOnce(Relink) -> Result<(), RelinkError>,
        end_mount: impl Fn(Populated) -> Result<(), PopulateError>,
    ) -> Result<(), BoxError> {
        let mut ends = vec![
            self.links
                .map_or(Ok(()), Made::remove)
                .map_err(|error| report(&error)),
            end_ghosts(self.ghosts).map_err(|error| report(&error)),
        ];
        // One may lie in another that was populated before.
        let mounts = self.mounts.into_iter().rev();
        ends.extend(mounts.map(|mount| end_mount(mount).map_err(|error| report(&error))));
        let stays: Vec<String> = ends.into_iter().filter_map(Result::err).collect();
        if !stays.is_empty() {
            return Err(stays.join("; ").into());
        }
        remove_dir(&self.work.stash())
    }
}

fn remove_dir(path: &Path) -> Result<(), BoxError> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()).into())
        }
        _ => Ok(()),
    }
}

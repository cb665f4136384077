//! The part of a restore for which CRIU is held: the network of the container, the names of ghosts, and
//! the locks that CRIU loses.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::{RestoreRequest, Restorer};
use crate::bundle::Bundle;
use crate::criu::config;
use crate::criu::locks::PosixLock;
use crate::hold::{Call, Hold, Stage, Verdict};
use crate::new_network::NewNetwork;
use crate::phase::BoxError;
use crate::process::{Process, process_tree};
use crate::relink::Relink;
use crate::relock::Locks;
use crate::workdir::WorkDir;

/// CRIU has restored the tasks, and did not wait for us.
#[derive(Debug, thiserror::Error)]
#[error(
    "CRIU ended without calling the action script {0}, so that files lack names, attributes or locks; use CRIU 3.19 or newer, and no options that keep it from reading its configuration file"
)]
pub(super) struct NotHeld(PathBuf);

/// A container that is frozen, and lacks locks.
#[derive(Debug)]
pub(super) struct Frozen {
    /// Its processes, first init.
    pub(super) processes: Vec<i32>,
    /// What they lack.
    pub(super) missing: Vec<PosixLock>,
}

/// What CRIU needs to be held. Dropping it puts the configuration back.
pub(super) struct WhileHeld<'r> {
    relink: &'r mut Relink,
    locks: Locks,
    new_network: Option<NewNetwork>,
    restorer: &'r dyn Restorer,
    hold: Hold,
    config: PathBuf,
    user_config: String,
}

impl<'r> WhileHeld<'r> {
    /// Puts our script into CRIU's configuration; `None` if there is nothing to be done.
    ///
    /// # Errors
    /// It cannot be written, or the image of the locks not be read; nothing is changed then.
    pub(super) fn begin(
        request: &RestoreRequest,
        bundle: &Bundle,
        relink: &'r mut Relink,
        restorer: &'r dyn Restorer,
    ) -> Result<Option<Self>, BoxError> {
        let locks = Locks::of(&request.image_dir)?;
        let new_network = NewNetwork::of(bundle)?;
        if !relink.is_needed() && locks.is_empty() && new_network.is_none() {
            return Ok(None);
        }
        let work = WorkDir::of(&request.bundle);
        let hold = Hold::prepare(&work.hold(), &request.script)?;
        let config = work.criu_config();
        let user_config = std::fs::read_to_string(&config)?;
        config::write(&config, &config::with_script(&user_config, &hold.script()))?;
        Ok(Some(Self {
            relink,
            locks,
            new_network,
            restorer,
            hold,
            config,
            user_config,
        }))
    }

    /// Does what is to be done whenever CRIU is held; serves until `ended` reports that the restore is
    /// over. The tasks are frozen if they lack locks: see [`crate::relock`].
    ///
    /// # Errors
    /// A name cannot be made, or a lock not be looked for, and the restore was undone; or CRIU was
    /// not held; or the tasks cannot be frozen, and run.
    pub(super) fn serve(self, ended: BorrowedFd<'_>) -> Result<Option<Frozen>, BoxError> {
        let mut missing = Vec::new();
        let mut result = Ok(None);
        let served = self.hold.serve(ended, |Call { stage, init }| {
            let done = match stage {
                Stage::SetupNamespaces => {
                    if let Some(network) = &self.new_network {
                        network.set_up(init);
                    }
                    Ok(())
                }
                Stage::PostDump | Stage::PostRestore => self
                    .relink
                    .link()
                    .map_err(BoxError::from)
                    .and_then(|()| self.locks.missing(init))
                    .map(|found| missing = found),
                Stage::PreResume if missing.is_empty() => Ok(()),
                Stage::PreResume => freeze(self.restorer, init).map(|processes| {
                    let missing = std::mem::take(&mut missing);
                    result = Ok(Some(Frozen { processes, missing }));
                }),
            };
            match done {
                Ok(()) => Verdict::Release,
                Err(error) => {
                    result = Err(error);
                    Verdict::Veto
                }
            }
        });
        let frozen = result?;
        match served? {
            Some(_) => Ok(frozen),
            None if self.relink.is_needed() || !self.locks.is_empty() => {
                Err(NotHeld(self.hold.script()).into())
            }
            None if self.new_network.is_some() => {
                tracing::warn!("CRIU called no script: the container's network is not set up");
                Ok(frozen)
            }
            None => Ok(frozen),
        }
    }
}

/// Has the container freeze, and gives its processes.
fn freeze(restorer: &dyn Restorer, init: i32) -> Result<Vec<i32>, BoxError> {
    let processes: Vec<i32> = process_tree(init)?.iter().map(Process::pid).collect();
    restorer.freeze(&processes)?;
    Ok(processes)
}

impl Drop for WhileHeld<'_> {
    fn drop(&mut self) {
        if let Err(error) = config::write(&self.config, &self.user_config) {
            tracing::warn!(%error, "the CRIU configuration of a restore stays");
        }
    }
}

#[cfg(test)]
mod tests;

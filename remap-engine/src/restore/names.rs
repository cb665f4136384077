//! The part of a restore for which CRIU is held: the names of ghosts.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::RestoreRequest;
use crate::criu::config;
use crate::hold::{Hold, Verdict};
use crate::phase::BoxError;
use crate::relink::Relink;
use crate::workdir::WorkDir;

/// CRIU has restored the tasks, and did not wait for their names.
#[derive(Debug, thiserror::Error)]
#[error(
    "CRIU ended without calling the action script {0}, so that files lack names and attributes; use CRIU 3.19 or newer, and no options that keep it from reading its configuration file"
)]
pub(super) struct NotHeld(PathBuf);

/// What CRIU needs to be held. Dropping it puts the configuration back.
pub(super) struct Names<'r> {
    relink: &'r mut Relink,
    hold: Hold,
    config: PathBuf,
    user_config: String,
}

impl<'r> Names<'r> {
    /// Puts our script into CRIU's configuration; `None` if there are no ghosts.
    ///
    /// # Errors
    /// It cannot be written; nothing is changed then.
    pub(super) fn begin(
        request: &RestoreRequest,
        relink: &'r mut Relink,
    ) -> Result<Option<Self>, BoxError> {
        if !relink.is_needed() {
            return Ok(None);
        }
        let work = WorkDir::of(&request.bundle);
        let hold = Hold::prepare(&work.hold(), &request.script)?;
        let config = work.criu_config();
        let user_config = std::fs::read_to_string(&config)?;
        config::write(&config, &config::with_script(&user_config, &hold.script()))?;
        Ok(Some(Self {
            relink,
            hold,
            config,
            user_config,
        }))
    }

    /// Makes the names when CRIU is held; serves until `ended` reports that the restore is over.
    ///
    /// # Errors
    /// They cannot be made, and the restore was undone; or CRIU was not held.
    pub(super) fn serve(self, ended: BorrowedFd<'_>) -> Result<(), BoxError> {
        let mut linked = Ok(());
        let served = self.hold.serve(ended, || {
            linked = self.relink.link();
            match linked {
                Ok(()) => Verdict::Release,
                Err(_) => Verdict::Veto,
            }
        });
        linked?;
        match served? {
            Some(_) => Ok(()),
            None => Err(NotHeld(self.hold.script()).into()),
        }
    }
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        if let Err(error) = config::write(&self.config, &self.user_config) {
            tracing::warn!(%error, "the CRIU configuration of a restore stays");
        }
    }
}

#[cfg(test)]
mod tests;

//! What happens before the tasks are frozen.

use super::{CheckpointRequest, FrozenTasks};
use crate::bundle::Bundle;
use crate::criu::config::UserConfig;
use crate::image_dir::ImageDir;
use crate::intent::Intent;
use crate::phase::BoxError;
use crate::plan::RemapPlan;
use crate::private;
use crate::process::Process;
use crate::scan::ExecSession;
use crate::workdir::WorkDir;

/// What is known and made before the tasks are frozen. Dropping it removes the images, unless they
/// are kept.
pub(super) struct Prepared {
    /// The container.
    pub(super) tasks: FrozenTasks,
    /// Where the images go.
    pub(super) images: ImageDir,
    /// What the user configured for CRIU.
    pub(super) user_config: UserConfig,
    /// What the checkpoint is to do.
    intent: Intent,
    /// The engine's directory in the bundle.
    pub(super) work: WorkDir,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the container was created without this shim, and CRIU would not read the engine's configuration; create it anew with this shim"
)]
struct NotAdopted;

impl Prepared {
    /// Reads the bundle and makes the image directory.
    ///
    /// # Errors
    /// Nothing that was made stays.
    pub(super) fn new(request: &CheckpointRequest) -> Result<Self, BoxError> {
        let bundle = Bundle::load(&request.bundle)?;
        if !bundle.is_adopted() {
            return Err(NotAdopted.into());
        }
        let user_config = UserConfig::load(bundle.user_criu_config())?;
        let facts = &request.facts;
        let criu = facts.versions.get("criu");
        let criu = criu.and_then(|version| version.parse().ok());
        let intent = Intent::new(request.exit, &facts.options, &bundle, &user_config, criu)?;
        let work = WorkDir::of(&request.bundle);
        private::create_dir(work.path())?;
        let init = Process::pin(request.init_pid)?;
        Ok(Self {
            tasks: FrozenTasks { bundle, init },
            images: ImageDir::prepare(&request.image_dir, &work.checkpoint_journal())?,
            user_config,
            intent,
            work,
        })
    }

    /// Refuses what cannot be checkpointed as intended.
    ///
    /// # Errors
    /// All that is in the way, with the remedies.
    pub(super) fn refuse(&self, plan: &RemapPlan) -> Result<(), BoxError> {
        for session in &plan.exec_sessions {
            let ExecSession { pid, command } = session;
            tracing::warn!(
                pid,
                command,
                "an exec session is not part of the checkpoint"
            );
        }
        let refusals = plan.refusals(&self.intent);
        if refusals.is_empty() {
            return Ok(());
        }
        Err(Refused(refusals.iter().map(ToString::to_string).collect()).into())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this container cannot be checkpointed: {}", .0.join("; also: "))]
struct Refused(Vec<String>);

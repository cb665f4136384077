//! Plan: says what a checkpoint would do, and does nothing.

use std::sync::Arc;

use remap_control::{
    document::{Container as Facts, Document, VERSION, Verdict},
    message::PlanRequest,
};
use remap_engine::{
    manifest::DumpOptions,
    phase::{PhaseError, report},
    plan::{Refusal, RemapPlan},
    preview::{Preview, Tasks},
};
use tracing::Span;

use super::encode::encode;
use crate::{
    container::Container,
    engine::blocking,
    error::TaskError,
    freezer,
    runc::{CriuFlags, KindError, Program, Runc, RuncError, RuncStatus},
    shim::Shim,
    status::{Op, Permit, Status},
    versions,
};

/// Looks at a container that runs or is paused, and says what a checkpoint would do with it. One
/// that runs is frozen meanwhile if that is asked for, and runs again afterwards, whatever fails.
///
/// # Errors
/// [`TaskError`]; the container is as before, or the error says that it is paused.
pub(super) async fn plan(shim: Arc<Shim>, request: PlanRequest) -> Result<Vec<u8>, TaskError> {
    let container = shim.container(&request.id)?;
    let (program, criu) = tokio::join!(container.runc.program(), versions::criu(&shim.reaper));
    let versions = versions::all(program.as_ref().ok(), criu);
    let unable = unable(&container.runc, program);
    let permit = container
        .begin(Op::Plan {
            freeze: request.freeze,
        })
        .await?;
    let before = permit.before();
    let look = Look {
        container: &container,
        span: tracing::info_span!("plan", id = container.id),
    };
    let (bundle, options) = (container.bundle.path().to_owned(), options_of(&request));
    let (known, pid, exit) = (versions.clone(), container.init.pid(), request.exit);
    let init = i32::try_from(pid).unwrap_or_default();
    let preview = blocking(look.span.clone(), move || {
        Preview::new(&bundle, init, exit, &options, &known)
    });
    let preview = Arc::new(preview.await.map_err(failed)?);
    let plan = match before {
        Status::Running if request.freeze => look.frozen(&preview, permit).await,
        _ => {
            let tasks = match before {
                Status::Paused => Tasks::Frozen,
                _ => Tasks::Running,
            };
            let plan = look.at(&preview, tasks).await;
            drop(permit);
            plan
        }
    }?;
    // The rest can take its time.
    let forecast = blocking(look.span, move || preview.judge(plan));
    let mut forecast = forecast.await.map_err(failed)?;
    forecast.refusals.extend(unable);
    let verdict = if forecast.refusals.is_empty() {
        Verdict::Works
    } else {
        Verdict::Refused
    };
    encode(Document {
        version: VERSION,
        verdict,
        container: Facts {
            id: container.id.clone(),
            namespace: shim.namespace.clone(),
            pid,
            status: before.to_string(),
            frozen: before == Status::Paused || request.freeze,
        },
        request: (&request).into(),
        versions,
        abridged: false,
        forecast,
    })
}

/// What the runtime's program cannot do, and a checkpoint needs.
fn unable(runc: &Runc, program: Result<Program, RuncError>) -> Option<Refusal> {
    match program {
        Ok(program) => {
            let can = runc.check(program.kind, &CriuFlags::default());
            can.err().map(|KindError(refusal)| refusal)
        }
        Err(error) => Some(Refusal {
            what: format!("the runtime does not tell its version: {}", report(&error)),
            remedy: "see that it can be run".into(),
        }),
    }
}

fn options_of(request: &PlanRequest) -> DumpOptions {
    DumpOptions {
        tcp_established: request.tcp_established,
        ext_unix_sk: request.ext_unix_sk,
        shell_job: request.shell_job,
        file_locks: request.file_locks,
        ..DumpOptions::default()
    }
}

fn failed(source: PhaseError) -> TaskError {
    TaskError::Engine {
        what: "plan",
        log: None,
        source,
    }
}

/// A look at a container.
struct Look<'c> {
    container: &'c Container,
    span: Span,
}

impl Look<'_> {
    async fn at(&self, preview: &Arc<Preview>, tasks: Tasks) -> Result<RemapPlan, TaskError> {
        let preview = Arc::clone(preview);
        let plan = blocking(self.span.clone(), move || preview.plan(tasks));
        plan.await.map_err(failed)
    }

    /// Freezes a container that runs, looks, and lets it run again.
    async fn frozen(
        &self,
        preview: &Arc<Preview>,
        permit: Permit<'_>,
    ) -> Result<RemapPlan, TaskError> {
        let plan = match freezer::freeze(self.container).await {
            Ok(()) => self.at(preview, Tasks::Frozen).await,
            Err(error) => Err(error.into()),
        };
        // Also if it could not be frozen: a part of it may be.
        match (plan, self.thaw().await) {
            (plan, Ok(())) => plan,
            (_, Err(error)) => {
                tracing::error!(
                    id = self.container.id,
                    "the container stays paused: resume it by hand"
                );
                permit.commit(Status::Paused);
                Err(error)
            }
        }
    }

    async fn thaw(&self) -> Result<(), TaskError> {
        match self.container.runc.resume().await {
            Err(error) if self.is_paused().await => Err(TaskError::StaysPaused(
                TaskError::Runc {
                    action: "resume",
                    source: error,
                }
                .into(),
            )),
            // It runs already, or it has ended.
            _ => Ok(()),
        }
    }

    async fn is_paused(&self) -> bool {
        let state = self.container.runc.state().await;
        matches!(state, Ok(RuncStatus::Paused))
    }
}

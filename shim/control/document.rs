//! The document that answers a request for a plan. `schema/plan-v1.json` describes it, with
//! `remap-plan.json` of the engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::message::PlanRequest;

/// Version of the document: its major version, so that it changes only if a reader must.
pub const VERSION: u32 = 1;

/// The document. `F` is the engine's forecast: the shim fills in the real one, and a client reads
/// what it knows of it ([`crate::view::Forecast`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document<F> {
    /// [`VERSION`].
    pub version: u32,
    /// Whether the checkpoint would work.
    pub verdict: Verdict,
    /// The container.
    pub container: Container,
    /// What was asked for.
    pub request: Request,
    /// Versions of what would take part, by name: the shim, the kernel, the runtime, CRIU.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Holders of files are left out, because the whole would be too large for a message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abridged: bool,
    /// The rest.
    #[serde(flatten)]
    pub forecast: F,
}

/// Whether a checkpoint would work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is known that forbids it.
    Works,
    /// It would be refused, and nothing would be touched.
    Refused,
    /// Something that only a later version says.
    #[serde(other)]
    Unknown,
}

/// The container, and how it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The containerd namespace.
    pub namespace: String,
    /// Its init, in the host's numbers.
    pub pid: u32,
    /// Its state: `running` or `paused`.
    pub status: String,
    /// Whether it was frozen while it was looked at. If not, what was seen can be different the next
    /// moment.
    pub frozen: bool,
}

/// What was asked for: see [`PlanRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of the request")]
pub struct Request {
    pub exit: bool,
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
}

impl From<&PlanRequest> for Request {
    fn from(request: &PlanRequest) -> Self {
        Self {
            exit: request.exit,
            tcp_established: request.tcp_established,
            ext_unix_sk: request.ext_unix_sk,
            shell_job: request.shell_job,
            file_locks: request.file_locks,
        }
    }
}

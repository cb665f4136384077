//! The document that says what operations on a container took.

use remap_engine::took::Took;
use serde::{Deserialize, Serialize};

/// Version of the document: its major version, so that it changes only if a reader must.
pub const VERSION: u32 = 1;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// [`VERSION`].
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// containerd's namespace.
    pub namespace: String,
    /// Its last checkpoint that was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Took>,
    /// The restore that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Took>,
}

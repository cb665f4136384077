//! The control service of the shim: what is asked over its socket besides containerd's task API.
//!
//! The shim serves it and `remapctl` asks; both take the messages, the document and the names from
//! here. There is no generated code: a method is a name, a request and a response of [`message`].
//!
//! # Versions
//!
//! The version is part of the service's name, [`SERVICE`]. Within a version methods and fields are
//! added and never changed or removed, and each side ignores fields that it does not know. What
//! cannot be done like that is a new service beside this one. A shim that does not have the service
//! at all is an older one, or the stock one: [`client::CallError::NoService`].
#![forbid(unsafe_code)]

pub mod client;
pub mod document;
pub mod hand_over;
pub mod measured;
pub mod message;
pub mod view;

/// The service.
pub const SERVICE: &str = "io.remap.control.v1.Control";

/// The method that says what a checkpoint would do: a [`message::PlanRequest`] is answered by a
/// [`message::PlanResponse`].
pub const PLAN: &str = "Plan";

/// The method that says what the last operations took: a [`message::MetricsRequest`] is answered by a
/// [`message::MetricsResponse`].
pub const METRICS: &str = "Metrics";

/// The method that takes a checkpoint: a [`message::CheckpointRequest`] is answered by a
/// [`message::CheckpointResponse`].
pub const CHECKPOINT: &str = "Checkpoint";

/// The JSON Schema of the document in a [`message::PlanResponse`], but for the plan in it, which
/// has a schema of its own.
const DOCUMENT_SCHEMA: &str = include_str!("../schema/plan-v1.json");

/// The JSON Schema of the document in a [`message::PlanResponse`], complete: that of the plan is
/// embedded in it (JSON Schema 2020-12, 9.3, "Compound Documents").
///
/// # Errors
/// None: both schemas are part of the program, and tested.
pub fn plan_schema() -> serde_json::Result<String> {
    let mut schema: serde_json::Value = serde_json::from_str(DOCUMENT_SCHEMA)?;
    let definitions = schema.get_mut("$defs");
    if let Some(definitions) = definitions.and_then(serde_json::Value::as_object_mut) {
        let plan = serde_json::from_str(remap_engine::plan::PLAN_SCHEMA)?;
        definitions.insert("remap-plan".into(), plan);
    }
    serde_json::to_string_pretty(&schema)
}

#[cfg(test)]
mod tests;

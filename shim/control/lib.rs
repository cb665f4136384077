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
pub mod message;
pub mod view;

/// The service.
pub const SERVICE: &str = "io.remap.control.v1.Control";

/// The method that says what a checkpoint would do: a [`message::PlanRequest`] is answered by a
/// [`message::PlanResponse`].
pub const PLAN: &str = "Plan";

/// The JSON Schema of the document in a [`message::PlanResponse`].
pub const PLAN_SCHEMA: &str = include_str!("../schema/plan-v1.json");

#[cfg(test)]
mod tests;

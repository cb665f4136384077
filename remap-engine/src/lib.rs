//! Decides and carries out file remaps when a container is checkpointed with CRIU.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod carry;
pub mod criu;
pub mod hold;
pub mod manifest;
pub mod mountinfo;
pub mod mountmap;
pub mod ownership;
pub mod plan;
pub mod private;
pub mod process;
pub mod reconcile;
pub mod scan;
pub mod text;

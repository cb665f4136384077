//! Decides and carries out file remaps when a container is checkpointed with CRIU.
#![forbid(unsafe_code)]

pub mod carry;
pub mod manifest;

//! What this host has: containerd's process and configuration, and the programs that it finds.

pub(crate) mod bundles;
pub(crate) mod config;
pub(crate) mod containerd;
pub(crate) mod lookup;
pub(crate) mod program;
pub(crate) mod service;
pub(crate) mod shim;
pub(crate) mod used;

/// Where this tool keeps what it has to know later.
pub(crate) const STATE: &str = "/var/lib/containerd-shim-remap";

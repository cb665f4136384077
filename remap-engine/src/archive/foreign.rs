//! Names in the archives of others (checkpointctl, lib/metadata.go).

/// Podman's description of the container.
pub(super) const CONFIG_DUMP: &str = "config.dump";
/// The OCI specification.
pub(super) const SPEC_DUMP: &str = "spec.dump";
/// CRI's description of its state.
pub(super) const STATUS_DUMP: &str = "status";
/// Where CRIU's images are.
pub(super) const DIRECTORY: &str = "checkpoint/";

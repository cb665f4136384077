//! Names in the archives of others (checkpointctl, lib/metadata.go).

/// Podman's description of the container.
pub(super) const CONFIG_DUMP: &str = "config.dump";
/// The OCI specification.
pub(super) const SPEC_DUMP: &str = "spec.dump";
/// CRI's description of its state.
pub(super) const STATUS_DUMP: &str = "status";
/// CRIU's figures of the dump.
pub(super) const STATS_DUMP: &str = "stats-dump";
/// Podman's list of what the changes of the root file system delete.
pub(super) const DELETED_FILES: &str = "deleted.files";
/// Where CRIU's images are.
pub(super) const DIRECTORY: &str = "checkpoint/";

/// Files of others beside the images without which a restore would lose something: they stay in the
/// plain form.
pub(super) const KEPT: [&str; 4] = [
    DELETED_FILES,
    "devshm-checkpoint.tar",
    "network.status",
    "pod.options",
];

//! Names and types of the parts of an OCI image.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Where blobs are in an image layout (image-spec, image-layout.md).
pub(super) const BLOBS: &str = "blobs/sha256/";
/// The index of an image layout.
pub(super) const INDEX_FILE: &str = "index.json";
/// Marks an image layout.
pub(super) const LAYOUT_FILE: &str = "oci-layout";

/// Media types (image-spec, media-types.md).
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(super) const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// containerd's media types of checkpoints (containerd, core/images/mediatypes.go).
pub(super) const CRIU: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
pub(super) const SPEC: &str = "application/vnd.containerd.container.checkpoint.config.v1+proto";
pub(super) const OPTIONS: &str = "application/vnd.containerd.container.checkpoint.options.v1+proto";
pub(super) const RUNTIME_OPTIONS: &str =
    "application/vnd.containerd.container.checkpoint.runtime.options+proto";

/// Annotations of a checkpoint's index (containerd, client/container.go).
pub(super) const IMAGE_NAME: &str = "org.opencontainers.image.ref.name";
pub(super) const RUNTIME_NAME: &str = "io.containerd.checkpoint.runtime";
pub(super) const SNAPSHOTTER: &str = "io.containerd.checkpoint.snapshotter";

/// Annotation with the name by which `ctr images import` stores an image.
pub(super) const IMPORT_NAME: &str = "io.containerd.image.name";

/// Type of the specification in a container's record (containerd's typeurl).
pub(super) const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// The mark of an image layout. It says which index belongs to it, as nothing else would tell that a
/// byte of the index is another.
pub(super) fn layout_text(index: &[u8]) -> String {
    let digest = Sha256::digest(index);
    format!(r#"{{"imageLayoutVersion":"1.0.0","io.remap.index.sha256":"{digest:x}"}}"#)
}

/// This host's processor, as Go names it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The platform of this host.
pub(super) fn platform() -> Value {
    json!({"os": "linux", "architecture": architecture()})
}

/// The configuration of an image with these layers, by the digests of their tars (image-spec,
/// config.md).
pub(super) fn config(diff_ids: &[String]) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

//! A checkpoint as an image with one ordinary layer, which registries store, and which Podman, CRI-O
//! and CRI take for a checkpoint by its annotations: the layer has what Podman exports.

use std::path::Path;

use serde_json::json;

use super::blob::{self, Blob, PackedBlob};
use super::feed::Feed;
use super::parts::Parts;
use super::podman;
use super::tape::Tape;
use crate::archive::CONTAINER_ANNOTATION;
use crate::archive::blobs::Blobs;
use crate::archive::error::ArchiveError;
use crate::archive::image::{self, platform};
use crate::archive::layout::{Compression, Layout};
use crate::archive::source::Descriptor;

/// Writes all blobs, and gives the manifest.
pub(super) fn write(
    parts: &Parts<'_>,
    path: &Path,
    compression: Compression,
    blobs: &mut dyn Blobs,
    feed: &mut Feed<'_, '_>,
) -> Result<Descriptor, ArchiveError> {
    let container = parts.container(Layout::Registry)?;
    let (layer, diff_id) = layer(parts, path, compression, blobs, feed)?;
    let mut config = platform();
    config["config"] = json!({});
    config["rootfs"] = json!({"type": "layers", "diff_ids": [diff_id]});
    let config = blob::put(blobs, path, image::CONFIG, config.to_string().into_bytes())?;
    let mut annotations = json!({
        CONTAINER_ANNOTATION: container.id,
        "org.criu.checkpoint.engine.name": "containerd",
        "org.criu.checkpoint.runtime.name": container.runtime.name,
        "org.criu.checkpoint.host.arch": platform()["architecture"],
    });
    if let Some(base) = &container.image {
        annotations["org.criu.checkpoint.rawImageName"] = json!(base.reference);
        annotations["org.criu.checkpoint.rootfsImageName"] = json!(base.reference);
        if let Some(digest) = &base.digest {
            annotations["org.criu.checkpoint.rootfsImageSha"] = json!(digest);
        }
    }
    for (name, annotation) in [
        ("criu", "org.criu.checkpoint.criu.version"),
        ("kernel", "org.criu.checkpoint.host.kernel"),
        ("runtime", "org.criu.checkpoint.runtime.version"),
    ] {
        if let Some(version) = parts.versions.get(name) {
            annotations[annotation] = json!(version);
        }
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": image::MANIFEST,
        "config": config,
        "layers": [layer],
        "annotations": annotations,
    });
    blob::put(
        blobs,
        path,
        image::MANIFEST,
        manifest.to_string().into_bytes(),
    )
}

/// The layer, and the digest of the tar in it.
fn layer(
    parts: &Parts<'_>,
    path: &Path,
    compression: Compression,
    blobs: &mut dyn Blobs,
    feed: &mut Feed<'_, '_>,
) -> Result<(Descriptor, String), ArchiveError> {
    if compression == Compression::None {
        let mut blob = Blob::begin(blobs, path)?;
        let mut out = |piece: &_| blob.push(piece);
        let mut tape = Tape::new(feed, &mut out);
        podman::write(parts, &mut tape)?;
        tape.end()?;
        let layer = blob.end(image::LAYER)?;
        let diff_id = layer.digest.clone();
        return Ok((layer, diff_id));
    }
    let mut blob = PackedBlob::begin(blobs, path, compression)?;
    let mut out = |piece: &_| blob.push(piece);
    let mut tape = Tape::new(feed, &mut out);
    podman::write(parts, &mut tape)?;
    tape.end()?;
    let (layer, plain) = blob.end(image::LAYER_ZSTD)?;
    Ok((layer, format!("sha256:{}", plain.sha256)))
}

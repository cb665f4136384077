//! A checkpoint as an image with one ordinary layer, which registries store, and which Podman, CRI-O
//! and CRI take for a checkpoint by its annotations: the layer has what Podman exports.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::blob::{self, Blob, PackedBlob};
use super::feed::Feed;
use super::parts::Parts;
use super::podman;
use super::tape::Tape;
use crate::archive::CONTAINER_ANNOTATION;
use crate::archive::blobs::Blobs;
use crate::archive::container::Container;
use crate::archive::error::ArchiveError;
use crate::archive::image::{self, architecture};
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
    let config = image::config(&[diff_id]).to_string().into_bytes();
    let config = blob::put(blobs, path, image::CONFIG, config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": image::MANIFEST,
        "config": config,
        "layers": [layer],
        "annotations": annotations(parts, container),
    });
    blob::put(
        blobs,
        path,
        image::MANIFEST,
        manifest.to_string().into_bytes(),
    )
}

/// What Podman writes of its own (libpod/define/annotations.go), as far as it is known.
fn annotations(parts: &Parts<'_>, container: &Container) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([
        (CONTAINER_ANNOTATION, container.id.clone()),
        ("org.criu.checkpoint.engine.name", "containerd".to_owned()),
        (
            "org.criu.checkpoint.runtime.name",
            container.runtime.name.clone(),
        ),
        ("org.criu.checkpoint.host.arch", architecture().to_owned()),
    ]);
    if let Some(base) = &container.image {
        let (name, digest) = (&base.reference, base.digest.iter());
        annotations.insert("org.criu.checkpoint.rawImageName", name.clone());
        annotations.insert("org.criu.checkpoint.rootfsImageName", name.clone());
        let digest = digest.map(|digest| ("org.criu.checkpoint.rootfsImageSha", digest.clone()));
        annotations.extend(digest);
    }
    for (name, annotation) in [
        ("criu", "org.criu.checkpoint.criu.version"),
        ("kernel", "org.criu.checkpoint.host.kernel"),
        ("runtime", "org.criu.checkpoint.runtime.version"),
    ] {
        let version = parts.versions.get(name);
        annotations.extend(version.map(|version| (annotation, version.clone())));
    }
    annotations
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

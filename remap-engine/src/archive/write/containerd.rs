//! A checkpoint as `ctr images import` and `ctr containers restore` want to have it.
//!
//! It is containerd's own index of a checkpoint, with two additions for the import (seen with 1.7 and
//! 2.1):
//!
//! - An import unpacks each image, and fails at an index in which it finds no image (`Manifest` in
//!   images/image.go). So the first entry is one, with nothing in it: of the entries that fit the
//!   platform only the first is looked at.
//! - What is to stay after an import has labels that say so, and `ctr content prune references` takes
//!   those of layers and of what containerd does not know away (`isLayerLabel`). So each of these is
//!   in the index once more as what it knows. Whoever looks for a type takes the first entry that has it.

use std::path::Path;

use prost::Message as _;
use serde_json::{Value, json};

use super::blob::{self, Blob};
use super::feed::Feed;
use super::parts::Parts;
use super::tape::Tape;
use crate::archive::ROOTFS_DIFF_FILE;
use crate::archive::blobs::Blobs;
use crate::archive::container::Container;
use crate::archive::error::ArchiveError;
use crate::archive::image::{self, platform};
use crate::archive::layout::Layout;
use crate::archive::proto::Any;
use crate::archive::source::Descriptor;

/// Writes all blobs, and gives the index.
pub(super) fn write(
    parts: &Parts<'_>,
    path: &Path,
    blobs: &mut dyn Blobs,
    feed: &mut Feed<'_, '_>,
) -> Result<Descriptor, ArchiveError> {
    let container = parts.container(Layout::Oci)?;
    let annotations = annotations(parts, container)?;
    let mut known = vec![image(path, blobs)?];
    let mut unknown = vec![rootfs_diff(parts, path, blobs, feed)?];
    let mut put = |media_type, any: &Any| blob::put(blobs, path, media_type, any.encode_to_vec());
    let spec = Any {
        type_url: image::SPEC_TYPE.to_owned(),
        value: container.spec.to_string().into_bytes(),
    };
    let spec = put(image::SPEC, &spec)?;
    if let Some(options) = &container.checkpoint_options {
        unknown.push(put(image::OPTIONS, &options.into())?);
    }
    if let Some(options) = &container.runtime.options {
        unknown.push(put(image::RUNTIME_OPTIONS, &options.into())?);
    }
    known.push(images(parts, path, blobs, feed)?);
    known.push(spec);
    let again = unknown.iter().map(|descriptor| Descriptor {
        media_type: image::SPEC.to_owned(),
        ..descriptor.clone()
    });
    let again: Vec<_> = again.collect();
    let entries = known.iter().chain(&unknown).chain(&again);
    let entries: Vec<Value> = entries.map(entry).collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": image::INDEX,
        "manifests": entries,
        "annotations": annotations,
    });
    blob::put(blobs, path, image::INDEX, index.to_string().into_bytes())
}

/// What a restore has to know, and fails without (container_restore_opts.go).
fn annotations(parts: &Parts<'_>, container: &Container) -> Result<Value, ArchiveError> {
    let lacks = |what| ArchiveError::Lacks {
        layout: Layout::Oci,
        what,
        path: parts.dir.clone(),
    };
    let base = container.image.as_ref();
    let base = base.ok_or_else(|| lacks("the name of the container's image"))?;
    let snapshotter = container.snapshotter.as_ref();
    let snapshotter = snapshotter.ok_or_else(|| lacks("the name of the snapshotter"))?;
    Ok(json!({
        image::IMAGE_NAME: base.reference,
        image::RUNTIME_NAME: container.runtime.name,
        image::SNAPSHOTTER: snapshotter,
    }))
}

/// An image of nothing.
fn image(path: &Path, blobs: &mut dyn Blobs) -> Result<Descriptor, ArchiveError> {
    let config = image::config(&[]);
    let config = blob::put(blobs, path, image::CONFIG, config.to_string().into_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": image::MANIFEST,
        "config": config,
        "layers": [],
    });
    blob::put(
        blobs,
        path,
        image::MANIFEST,
        manifest.to_string().into_bytes(),
    )
}

/// The layer that `--rw` applies.
fn rootfs_diff(
    parts: &Parts<'_>,
    path: &Path,
    blobs: &mut dyn Blobs,
    feed: &mut Feed<'_, '_>,
) -> Result<Descriptor, ArchiveError> {
    let mut blob = Blob::begin(blobs, path)?;
    for part in parts
        .files
        .iter()
        .filter(|part| part.name == ROOTFS_DIFF_FILE)
    {
        feed.part(part, &mut |piece| blob.push(piece))?;
    }
    blob.end(image::LAYER_GZIP)
}

/// The tar that containerd unpacks for the runtime. It has all other files.
fn images(
    parts: &Parts<'_>,
    path: &Path,
    blobs: &mut dyn Blobs,
    feed: &mut Feed<'_, '_>,
) -> Result<Descriptor, ArchiveError> {
    let mut blob = Blob::begin(blobs, path)?;
    let mut out = |piece: &_| blob.push(piece);
    let mut tape = Tape::new(feed, &mut out);
    for part in parts
        .files
        .iter()
        .filter(|part| part.name != ROOTFS_DIFF_FILE)
    {
        tape.file("", part)?;
    }
    tape.end()?;
    blob.end(image::CRIU)
}

fn entry(descriptor: &Descriptor) -> Value {
    let mut entry = descriptor.clone();
    entry.other.insert("platform".to_owned(), platform());
    json!(entry)
}

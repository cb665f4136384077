//! Writes an archive.

mod blob;
mod buffer;
mod containerd;
mod digesting;
mod directory;
mod feed;
mod file;
mod packed;
mod part;
mod parts;
mod podman;
mod registry;
mod tape;
mod whiteouts;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Progress;
use super::blobs::Blobs;
use super::error::ArchiveError;
use super::image;
use super::layout::{Compression, Layout};
use super::source::{Descriptor, Source};
use super::unnamed::Unnamed;
use feed::{Feed, Output};
use file::LayoutFile;
use parts::Parts;
use tape::Tape;

/// An archive that is complete and on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// Its length; of a directory, the sum of its files'.
    pub bytes: u64,
    /// The checkpoint, if it is in an OCI image layout.
    pub target: Option<Descriptor>,
}

/// Writes the archive to `destination`, which must not exist.
///
/// It is there only when it is complete and on the disk. A process that is killed leaves nothing but,
/// of a directory or on a file system that lacks `O_TMPFILE`, something called `.NAME.partial` beside it,
/// which the next one removes.
///
/// # Errors
/// There is nothing at `destination` then, and nothing beside it; the source is as it was.
pub fn write(
    source: &Source<'_>,
    layout: Layout,
    compression: Compression,
    destination: &Path,
    progress: &mut Progress<'_>,
) -> Result<Written, ArchiveError> {
    if destination.symlink_metadata().is_ok() {
        return Err(ArchiveError::Exists(destination.to_owned()));
    }
    let parts = Parts::of(source, layout)?;
    match layout {
        Layout::Directory if compression == Compression::None => {
            directory::write(&parts, destination, &mut Feed::new(progress))
        }
        Layout::Directory => Err(ArchiveError::NoCompression(layout)),
        Layout::Podman => podman(&parts, compression, destination, progress),
        Layout::Oci | Layout::Registry => {
            // The file, or the blob in it.
            let (file, blob) = match layout {
                Layout::Oci => (compression, Compression::None),
                _ => (Compression::None, compression),
            };
            let mut file = LayoutFile::beside(destination, file)?;
            let target = blobs(&parts, layout, blob, destination, &mut file, progress)?;
            let index = index(source, &parts, &target).to_string();
            let bytes = file.complete(index.as_bytes(), destination)?;
            Ok(Written {
                path: destination.to_owned(),
                bytes,
                target: Some(target),
            })
        }
    }
}

/// Writes the blobs of the layout [`Oci`](Layout::Oci) or [`Registry`](Layout::Registry), and gives the
/// one that an image has to name: an index or a manifest.
///
/// Every blob is written before those that refer to it, and the one that is returned comes last but for
/// those of the base image. `destination` is for errors.
///
/// # Errors
/// Blobs may have been written, or a part of one.
pub fn write_blobs(
    source: &Source<'_>,
    layout: Layout,
    compression: Compression,
    destination: &Path,
    to: &mut dyn Blobs,
    progress: &mut Progress<'_>,
) -> Result<Descriptor, ArchiveError> {
    let parts = Parts::of(source, layout)?;
    blobs(&parts, layout, compression, destination, to, progress)
}

fn blobs(
    parts: &Parts<'_>,
    layout: Layout,
    compression: Compression,
    destination: &Path,
    to: &mut dyn Blobs,
    progress: &mut Progress<'_>,
) -> Result<Descriptor, ArchiveError> {
    let mut feed = Feed::new(progress);
    let target = match layout {
        Layout::Oci if compression == Compression::None => {
            containerd::write(parts, destination, to, &mut feed)?
        }
        Layout::Registry => registry::write(parts, destination, compression, to, &mut feed)?,
        // containerd unpacks the tar of a checkpoint as it is (services/tasks/local.go).
        other => return Err(ArchiveError::NoCompression(other)),
    };
    for base in parts.base_image.iter().flat_map(|image| &image.blobs) {
        blob::copy(to, destination, base, &mut feed)?;
    }
    Ok(target)
}

/// The index of the image layout.
fn index(source: &Source<'_>, parts: &Parts<'_>, target: &Descriptor) -> Value {
    let id = parts
        .container
        .as_ref()
        .map(|container| container.id.as_str());
    let name = match source.name {
        Some(name) => name.to_owned(),
        None => format!("checkpoint.remap/{}:latest", id.unwrap_or_default()),
    };
    let named = |target: &Descriptor, name: &str| {
        let mut target = target.clone();
        for annotation in [image::IMPORT_NAME, image::IMAGE_NAME] {
            let annotations = &mut target.annotations;
            annotations.insert(annotation.to_owned(), name.to_owned());
        }
        target
    };
    let mut manifests = vec![named(target, &name)];
    let base = parts.base_image;
    manifests.extend(base.map(|image| named(&image.target, &image.reference)));
    json!({
        "schemaVersion": 2,
        "mediaType": image::INDEX,
        "manifests": manifests,
    })
}

fn podman(
    parts: &Parts<'_>,
    compression: Compression,
    destination: &Path,
    progress: &mut Progress<'_>,
) -> Result<Written, ArchiveError> {
    parts.container(Layout::Podman)?;
    let mut file = Unnamed::beside(destination)?;
    let failed = |error: io::Error| ArchiveError::io("write", destination)(error);
    let mut feed = Feed::new(progress);
    let mut tar = |out: &mut Output<'_>| {
        let mut tape = Tape::new(&mut feed, out);
        podman::write(parts, &mut tape)?;
        tape.end()
    };
    if compression == Compression::None {
        tar(&mut |piece| file.write_all(piece.bytes()).map_err(failed))?;
    } else {
        let mut encoder = packed::frame(compression, file).map_err(failed)?;
        tar(&mut |piece| encoder.write_all(piece.bytes()).map_err(failed))?;
        file = encoder.finish().map_err(failed)?;
    }
    Ok(Written {
        path: destination.to_owned(),
        bytes: file.complete()?,
        target: None,
    })
}

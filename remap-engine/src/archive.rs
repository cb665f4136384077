//! A checkpoint that travels: everything that a restore on another host needs, as one file or one
//! directory.
//!
//! In its *plain form* a checkpoint is a flat directory: CRIU's images, what this project adds to them
//! (`remap-plan.json`, `remap-manifest.json`, the tars of carried mounts), the container
//! ([`Container`], `remap-container.json`), the changes of its root file system (`rootfs-diff.tar`,
//! an OCI layer), and a list of all of these with their digests ([`Document`], `remap-archive.json`).
//! Each [`Layout`] holds just these files, in the form that some other program wants to have, so
//! that any can be made of any: [`Archive::unpack`] gives the plain form back, and [`write()`] takes it.
//!
//! Checkpoints that were made by others ([`open`] knows those of `ctr`, CRI, CRI-O and Podman) lack
//! some of the documents.

mod blobs;
mod container;
mod document;
mod error;
mod foreign;
mod image;
mod layout;
mod name;
mod open;
mod partial;
mod proto;
mod source;
#[cfg(test)]
mod tests;
mod unnamed;
mod write;

pub use blobs::Blobs;
pub use container::{Any, CONTAINER_FILE, CONTAINER_SCHEMA, Container, Image, Runtime, Stdio};
pub use document::{ARCHIVE_FILE, ARCHIVE_SCHEMA, Document};
pub use error::{ArchiveError, Fault, Faults};
pub use layout::{Compression, Kind, Layout};
pub use open::{Archive, Entry, open};
pub use source::{BaseImage, Blob, Descriptor, Open, RootfsDiff, Source};
pub use write::{Written, write, write_blobs};

use std::ops::ControlFlow;

/// Name of the root file system's changes in the plain form.
pub const ROOTFS_DIFF_FILE: &str = "rootfs-diff.tar";

/// By this annotation of a manifest an image is known as a checkpoint (checkpointctl,
/// lib/annotations.go).
const CONTAINER_ANNOTATION: &str = "org.criu.checkpoint.container.name";

/// Bytes that are moved at once.
const CHUNK: usize = 1 << 20;

/// Is told from time to time how many bytes are done, of the total that [`Source::bytes`] or
/// [`Archive::bytes`] tells; on a break everything is undone and [`ArchiveError::Interrupted`] returned.
pub type Progress<'p> = dyn FnMut(u64) -> ControlFlow<()> + 'p;

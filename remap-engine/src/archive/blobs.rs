//! Where the blobs of an OCI image go.

use std::io;

use super::source::Descriptor;

/// A store of blobs: a file, containerd's content store, a registry.
///
/// Digest and size of a blob are known only when all of it was written.
pub trait Blobs {
    /// Begins the next blob.
    ///
    /// # Errors
    /// It cannot be written.
    fn begin(&mut self) -> io::Result<()>;

    /// More of it.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// No more of it. A blob that is there already is no error.
    ///
    /// # Errors
    /// It cannot be written, or has arrived as another.
    fn end(&mut self, blob: &Descriptor) -> io::Result<()>;
}

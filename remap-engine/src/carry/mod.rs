//! Carries the contents of external mounts: [`capture`]s a tree into an archive on
//! the source host, and [`populate`]s a mount from it on the target.
//!
//! An archive is a pax tar that holds every name below the mount's root: hard
//! links, holes, devices, owners, times to the nanosecond, extended attributes.

mod add;
mod aside;
mod capture;
mod clear;
mod entry;
mod error;
mod extract;
mod fields;
mod headers;
mod index;
mod journal;
mod kept;
mod names;
mod origin;
pub(crate) mod pax;
mod populate;
mod read;
mod replace;
mod room;
mod sparse;
mod standing;
mod survey;
#[cfg(test)]
mod tests;
mod tree;
mod undo;
mod walk;
mod write;
mod xattrs;

pub use capture::{Captured, Entry, SkipReason, Skipped, capture, capture_inodes};
pub use entry::Kind;
pub use error::{ArchiveError, CaptureError, Flaw, PopulateError};
pub use index::{Index, IndexEntry, Totals, read_index};
pub use kept::{Together, is_kept};
pub use names::{DirectoryFacts, Names, names_of};
pub use origin::Origin;
pub use populate::{Beside, Mode, Populated, Request, populate};
pub use survey::{Measured, measure};
pub use undo::{Recovery, recover};
pub(crate) use xattrs::make as make_xattrs;
pub(crate) use xattrs::read_own as read_xattrs;

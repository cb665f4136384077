//! Reading a checkpoint.

use std::path::Path;

use anyhow::Result;
use remap_engine::archive::{Archive, Fault};

use crate::interrupt::GivenUp;
use crate::progress::Bar;
use crate::writing::stopped;

/// Unpacks all of it into the new directory `dir`.
///
/// # Errors
/// It is damaged or cannot be read. There is no such directory then.
pub(crate) fn unpack(archive: &Archive, dir: &Path, given_up: &GivenUp) -> Result<()> {
    let bar = Bar::new("reading", archive.bytes());
    let mut progress = |done| {
        bar.at(done);
        given_up.flow()
    };
    archive.unpack(dir, &mut progress).map_err(stopped)
}

/// All that is wrong with it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn verify(archive: &Archive, given_up: &GivenUp) -> Result<Vec<Fault>> {
    let bar = Bar::new("reading", archive.bytes());
    let mut progress = |done| {
        bar.at(done);
        given_up.flow()
    };
    archive.verify(&mut progress).map_err(stopped)
}

//! Writing a checkpoint to where it was asked for.

use std::path::Path;

use anyhow::Result;
use remap_engine::archive::{ArchiveError, Source, Written, write};

use crate::args::Form;
use crate::interrupt::GivenUp;
use crate::progress::Bar;

/// Writes it.
///
/// # Errors
/// There is nothing at `destination` then.
pub(crate) fn write_to(
    source: &Source<'_>,
    form: Form,
    destination: &Path,
    given_up: &GivenUp,
) -> Result<Written> {
    let bar = Bar::new("writing", source.bytes()?);
    let mut progress = |done| {
        bar.at(done);
        given_up.flow()
    };
    let written = write(
        source,
        form.layout(),
        form.compression(),
        destination,
        &mut progress,
    );
    written.map_err(stopped)
}

/// That somebody has given it up is told in one way.
pub(crate) fn stopped(error: ArchiveError) -> anyhow::Error {
    match error {
        ArchiveError::Interrupted => GivenUp::error(),
        error => error.into(),
    }
}

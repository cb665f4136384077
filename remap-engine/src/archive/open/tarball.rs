//! The archive of Podman, CRI-O and CRI: a tar of files.

use std::path::Path;

use super::describe::Described;
use super::members::{self, Naming};
use super::problem::Problem;
use super::sink::Sink;
use super::stream;
use super::tar::TarReader;
use super::{Archive, Form};
use crate::archive::error::ArchiveError;
use crate::archive::layout::{Kind, Layout};

/// Reads the documents.
pub(super) fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let scan = || {
        let (mut file, _) = stream::open(path)?;
        members::scan(Naming::Podman, &mut TarReader::new(file.as_mut()))
    };
    let found = scan().map_err(|problem: Problem| problem.of(path, ""))?;
    let described = found.describe(path)?;
    Ok(archive(path, described))
}

fn archive(path: &Path, described: Described) -> Archive {
    Archive {
        path: path.to_owned(),
        kind: Kind {
            layout: Layout::Podman,
            is_ours: described.document.is_some(),
            is_compressed: false,
        },
        form: Form::Tarball,
        entries: described.entries,
        container: described.container,
        manifest: described.manifest,
        document: described.document,
    }
}

/// Gives each file to the sink.
pub(super) fn stream(archive: &Archive, sink: &mut Sink<'_, '_>) -> Result<(), Problem> {
    let (mut file, _) = stream::open(&archive.path)?;
    let mut tar = TarReader::new(file.as_mut());
    members::stream(Naming::Podman, archive.kind.is_ours, &mut tar, sink)
}

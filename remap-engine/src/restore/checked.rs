//! The checkpoint, checked.

use std::path::{Path, PathBuf};

use crate::contents::archive_name;
use crate::ghosts::GhostFile;
use crate::linked::LinkedFile;
use crate::manifest::{CarriedMount, DumpOptions, FILE_NAME, Manifest};
use crate::phase::BoxError;
use crate::plan::PLAN_FILE;
use crate::text::TextPath;
use crate::together::Together;
use crate::took::Volumes;

/// A checkpoint that was not completed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the checkpoint in {0} is incomplete: it has contents of mounts, but no {FILE_NAME}; take it anew, or copy all of it"
)]
struct Incomplete(PathBuf);

/// What a checkpoint holds besides CRIU's images; nothing, if the stock shim made it.
pub(super) struct Checked(Option<Manifest>);

impl Checked {
    /// Reads the manifest, and holds every file against its digest.
    ///
    /// # Errors
    /// A file is damaged or missing, or the checkpoint was not completed. Nothing was changed.
    pub(super) fn open(dir: &Path) -> Result<Self, BoxError> {
        let manifest = Manifest::read(dir)?;
        match &manifest {
            Some(manifest) => manifest.verify(dir)?,
            // The stock shim's checkpoints have nothing of ours.
            None if dir.join(PLAN_FILE).exists() || dir.join(archive_name(0)).exists() => {
                return Err(Incomplete(dir.to_owned()).into());
            }
            None => {}
        }
        Ok(Self(manifest))
    }

    /// The mounts whose contents it has.
    pub(super) fn mounts(&self) -> &[CarriedMount] {
        self.0.as_ref().map_or(&[], |manifest| &manifest.mounts)
    }

    /// The names that CRIU will ask for, and that are made of others.
    pub(super) fn links(&self) -> &[LinkedFile] {
        self.0.as_ref().map_or(&[], |manifest| &manifest.links)
    }

    /// The ghosts that get names or attributes.
    pub(super) fn ghosts(&self) -> &[GhostFile] {
        self.0.as_ref().map_or(&[], |manifest| &manifest.ghosts)
    }

    /// With whom it was taken.
    pub(super) fn together(&self) -> Option<&Together> {
        self.0.as_ref()?.together.as_ref()
    }

    /// The mounts that came along with binds.
    pub(super) fn along(&self) -> &[TextPath] {
        self.0.as_ref().map_or(&[], |manifest| &manifest.along)
    }

    /// How much there is.
    pub(super) fn volumes(&self) -> Volumes {
        self.0.as_ref().map(Manifest::volumes).unwrap_or_default()
    }

    /// The options of the dump.
    pub(super) fn options(&self) -> Option<&DumpOptions> {
        self.0.as_ref().map(|manifest| &manifest.options)
    }
}

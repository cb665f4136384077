//! Makes a checkpoint complete.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Saved;
use crate::contents::{self, CapturedMount};
use crate::criu::files;
use crate::manifest::{Ahead, CarriedMount, DumpOptions, FileSystem, Manifest};
use crate::mountmap::Mount;
use crate::phase::{BoxError, Phase, PhaseError};
use crate::plan::{PLAN_FILE, RemapPlan};
use crate::private;
use crate::reconcile;
use crate::text::TextPath;
use crate::together::Circle;
use crate::took::Meter;

/// What every dump writes.
const INVENTORY: &str = "inventory.img";

/// What only the caller knows, and the manifest records.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Options of the dump, which the restore has to match.
    pub options: DumpOptions,
    /// Versions of what takes part, by name.
    pub versions: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
#[error("the checkpoint would not restore: {}", .0.join("; also: "))]
struct NotRestorable(Vec<String>);

#[derive(Debug, thiserror::Error)]
#[error("{0} is missing or no regular file any more; somebody has changed the images of CRIU")]
struct NotAnImage(PathBuf);

/// The images are files, and the one that each dump has is there (CRIU, `write_img_inventory`).
fn expect_images(dir: &Path) -> Result<(), BoxError> {
    let mut found = false;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_image = name.as_encoded_bytes().ends_with(b".img");
        if is_image && !entry.file_type()?.is_file() {
            return Err(NotAnImage(entry.path()).into());
        }
        found |= name == INVENTORY;
    }
    if found {
        Ok(())
    } else {
        Err(NotAnImage(dir.join(INVENTORY)).into())
    }
}

/// What makes a checkpoint complete.
pub(super) struct Seal<'p> {
    pub(super) plan: &'p RemapPlan,
    /// Where the images are.
    pub(super) dir: &'p Path,
    pub(super) facts: &'p Facts,
    /// Those that stand still beside the container.
    pub(super) circle: Option<&'p Circle>,
    /// Digests that were begun while CRIU wrote.
    pub(super) ahead: Ahead,
    /// Whether the tasks stay frozen, or do not live on, until the checkpoint is complete.
    pub(super) is_awaited: bool,
    pub(super) meter: &'p Meter,
}

impl Seal<'_> {
    /// Holds the images against what was carried, and makes everything durable; the manifest is
    /// written last and marks the checkpoint as complete.
    ///
    /// # Errors
    /// Phase reconcile or seal; what was written stays, for the caller to remove.
    pub(super) fn put_on(&self, saved: &Saved) -> Result<(), PhaseError> {
        self.meter.run(Phase::Reconcile, || self.reconcile(saved))?;
        self.meter.run(Phase::Seal, || self.write(saved))
    }

    fn reconcile(&self, saved: &Saved) -> Result<(), BoxError> {
        expect_images(self.dir)?;
        let files = files::read(self.dir)?;
        let mut names = contents::names(&saved.mounts);
        reconcile::add_links(&mut names, &self.plan.map, &saved.links);
        reconcile::add_staying(&mut names, self.plan);
        let lost = reconcile::reconcile(&self.plan.map, &names, &files);
        if lost.is_empty() {
            return Ok(());
        }
        Err(NotRestorable(lost.iter().map(ToString::to_string).collect()).into())
    }

    fn write(&self, saved: &Saved) -> Result<(), BoxError> {
        let (plan, dir, circle) = (self.plan, self.dir, self.circle);
        private::write(&dir.join(PLAN_FILE), &plan.to_json()?)?;
        let carried = saved.mounts.iter().map(|one| carried_mounts(one, circle));
        let carried = carried.collect::<io::Result<Vec<_>>>()?.concat();
        let Facts { versions, options } = self.facts.clone();
        let mut manifest = Manifest::build_on(&self.ahead, dir, versions, options, carried)?;
        let along = plan.map.along();
        manifest.along = along
            .map(|mount| TextPath(mount.name().to_owned()))
            .collect();
        manifest.ghosts.clone_from(&saved.ghosts);
        manifest.together = circle.map(|circle| circle.together().clone());
        manifest.links.clone_from(&saved.links);
        self.meter.weigh(manifest.volumes());
        manifest.took = Some(self.meter.took());
        manifest.write_as(dir, self.ahead.durability())?;
        Ok(())
    }
}

fn carried_mounts(one: &CapturedMount, circle: Option<&Circle>) -> io::Result<Vec<CarriedMount>> {
    let mut mounts = Vec::new();
    for mount in &one.mounts {
        mounts.push(carried_mount(one, mount, circle)?);
    }
    Ok(mounts)
}

fn carried_mount(
    one: &CapturedMount,
    mount: &Mount,
    circle: Option<&Circle>,
) -> io::Result<CarriedMount> {
    let shared = circle.map(|circle| circle.shared(mount.device));
    Ok(CarriedMount {
        destination: mount.name().to_owned(),
        archive: one.archive.clone(),
        below: one.shown_by(mount),
        partial: one.partial,
        origin: Some(FileSystem::here(mount.device)?),
        shared: shared.unwrap_or_default(),
        fs_options: mount.fs_options.split(',').map(str::to_owned).collect(),
        bytes: one.captured.totals.data_bytes,
        entries: one.captured.totals.entries,
        sockets: one.sockets(mount),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_somebody_has_replaced_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let named = |name: &str| {
            let error = expect_images(dir.path()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        };
        named(INVENTORY);
        std::fs::write(path(INVENTORY), b"x").unwrap();
        std::os::unix::fs::symlink("/elsewhere", path("parent")).unwrap();
        expect_images(dir.path()).unwrap();
        std::os::unix::fs::symlink(INVENTORY, path("core-1.img")).unwrap();
        named("core-1.img");
    }
}

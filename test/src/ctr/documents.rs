//! The documents of a checkpoint, its plan and its manifest, held against their schemas.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::Ctr;
use crate::schema;

const PLAN_SCHEMA: &str = include_str!("../../../remap-engine/schema/remap-plan.json");
const MANIFEST_SCHEMA: &str = include_str!("../../../remap-engine/schema/remap-manifest.json");

/// The documents of an image directory, with their schemas.
const DOCUMENTS: [(&str, &str); 2] = [
    ("remap-plan.json", PLAN_SCHEMA),
    ("remap-manifest.json", MANIFEST_SCHEMA),
];

/// Where containerd keeps the contents of images, by their digests.
const BLOBS: &str = "/var/lib/containerd/io.containerd.content.v1.content/blobs";

/// The media type of CRIU's images, as a tar archive.
const CRIU: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";

/// Where a checkpoint goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    /// Into an image of this name.
    Image(&'p str),
    /// Into this directory of the host.
    Directory(&'p str),
}

/// Holds a plan against its schema, as part of another document.
///
/// # Errors
/// It does not fit.
pub(super) fn check_plan(plan: &Value) -> Result<()> {
    fits(PLAN_SCHEMA, plan).context("its plan")
}

impl Ctr<'_> {
    /// Holds the documents of a checkpoint of our shim against their schemas.
    ///
    /// # Errors
    /// One is missing, or does not fit.
    pub(super) fn check_documents(&self, place: Place<'_>) -> Result<()> {
        match place {
            Place::Directory(images) => {
                check_all(|name| self.host.read_file(&format!("{images}/{name}")))
            }
            Place::Image(image) => {
                let tar = self.criu_images(image)?;
                check_all(|name| member(&tar, name))
            }
        }
    }

    /// The archive with CRIU's images in a checkpoint, on this machine.
    fn criu_images(&self, image: &str) -> Result<PathBuf> {
        let list = self.command(["image", "ls", &format!("name=={image}")]);
        let list = list.check()?;
        let text = list.text();
        let line = text.lines().find(|line| line.starts_with(image));
        let digest = line.and_then(|line| line.split_whitespace().nth(2));
        let digest = digest.with_context(|| format!("there is no image {image}: {text}"))?;
        let index = std::fs::read(self.blob(digest))?;
        let index: Value = serde_json::from_slice(&index)?;
        let parts = index.get("manifests").and_then(Value::as_array);
        let is_criu = |part: &&Value| part.get("mediaType").is_some_and(|kind| kind == CRIU);
        let criu = parts.into_iter().flatten().find(is_criu);
        let digest = criu.and_then(|part| part.get("digest")?.as_str());
        let digest = digest.with_context(|| format!("{image} has no CRIU images: {index}"))?;
        Ok(self.blob(digest))
    }

    fn blob(&self, digest: &str) -> PathBuf {
        let relative = digest.replace(':', "/");
        self.host.path(Path::new(BLOBS).join(relative))
    }
}

fn check_all(read: impl Fn(&str) -> Result<Vec<u8>>) -> Result<()> {
    for (name, schema) in DOCUMENTS {
        let check = || fits(schema, &serde_json::from_slice(&read(name)?)?);
        check().with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn fits(schema: &str, document: &Value) -> Result<()> {
    let schema = serde_json::from_str(schema)?;
    schema::check_own(&schema, document).map_err(|wrong| anyhow!(wrong))
}

/// The file `name` of an archive, wherever in it.
fn member(archive: &Path, name: &str) -> Result<Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(archive)?);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()?.file_name() == Some(name.as_ref()) {
            let mut contents = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut contents)?;
            return Ok(contents);
        }
    }
    Err(anyhow!("the checkpoint has no {name}"))
}

//! Whether this host has what a checkpoint needs.

use std::path::Path;

use anyhow::Result;
use remap_engine::archive::{Archive, Container};
use remap_engine::manifest::{Cpu, Manifest};
use serde_json::Value;

use super::refused;
use crate::containerd::Containerd;

/// What there is here for it.
pub(super) struct Ground {
    /// The snapshot that the root's is made on; none, if the container has no snapshot.
    pub(super) parent: Option<String>,
}

/// Finds what a checkpoint needs on this host.
///
/// # Errors
/// All that is lacking, at once. Nothing was changed.
pub(super) async fn fit(
    containerd: &Containerd,
    archive: &Archive,
    container: &Container,
) -> Result<Ground> {
    let mut reasons = Vec::new();
    if containerd.has_container(&container.id).await? {
        reasons.push(format!(
            "there is a container {} already; remove it, or restore under another id with --id",
            container.id
        ));
    }
    if let Some(manifest) = archive.manifest() {
        reasons.extend(lacking_cpu(manifest, &Cpu::of_this_host()?));
    }
    reasons.extend(missing_sources(&container.spec));
    let parent = match parent(containerd, container).await? {
        Ok(parent) => parent,
        Err(reason) => {
            reasons.push(reason);
            None
        }
    };
    match reasons.is_empty() {
        true => Ok(Ground { parent }),
        false => Err(refused(&reasons)),
    }
}

fn lacking_cpu(manifest: &Manifest, here: &Cpu) -> Option<String> {
    let lacking = here.lacks(&manifest.cpu);
    (!lacking.is_empty()).then(|| {
        format!(
            "this processor lacks {}, which the one of the checkpoint ({}) had; restore it where they are",
            lacking.join(", "),
            manifest.cpu.model
        )
    })
}

/// The sources of binds that are not here; of the root, too, if it is a directory of the host.
fn missing_sources(spec: &Value) -> Vec<String> {
    let mounts = spec.get("mounts").and_then(Value::as_array);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_bind = |mount: &&Value| {
        let options = mount.get("options").and_then(Value::as_array);
        let mut options = options.into_iter().flatten().filter_map(Value::as_str);
        options.any(|option| option == "bind" || option == "rbind")
    };
    let sources = mounts
        .into_iter()
        .flatten()
        .filter(is_bind)
        .filter_map(|mount| {
            let source = text(mount, "source")?;
            let destination = text(mount, "destination").unwrap_or_default();
            (!Path::new(&source).exists()).then(|| {
                format!(
                    "the source {source} of the mount {destination} is not here; make it, as it was"
                )
            })
        });
    sources.collect()
}

/// The snapshot to make the root's on, or why there is none.
async fn parent(
    containerd: &Containerd,
    container: &Container,
) -> Result<Result<Option<String>, String>> {
    let Some(snapshotter) = &container.snapshotter else {
        return Ok(missing_root(&container.spec).map_or(Ok(None), Err));
    };
    let known = container.snapshot_parent.as_deref();
    if let Some(parent) = known
        && (parent.is_empty() || containerd.snapshot(snapshotter, parent).await?.is_some())
    {
        return Ok(Ok(Some(parent.to_owned())));
    }
    let Some(image) = &container.image else {
        return Ok(Err(format!(
            "the snapshot {} of {snapshotter}, which the root file system was made on, is not here, and no image is known that has it",
            known.unwrap_or("(unknown)")
        )));
    };
    let reference = &image.reference;
    let Some(target) = containerd.image(reference).await? else {
        return Ok(Err(format!(
            "the image {reference} is not here; pull or import it"
        )));
    };
    let chain_id = containerd.configuration(&target).await?.chain_id;
    let is_that = match known {
        Some(parent) => parent == chain_id,
        None => (image.digest.as_ref()).is_none_or(|digest| *digest == target.digest),
    };
    if !is_that {
        return Ok(Err(format!(
            "the image {reference} is another one here ({}) than that of the checkpoint ({})",
            target.digest,
            image.digest.as_deref().unwrap_or("unknown")
        )));
    }
    Ok(match containerd.snapshot(snapshotter, &chain_id).await? {
        Some(_) => Ok(Some(chain_id)),
        None => Err(format!(
            "the image {reference} is not unpacked for {snapshotter}; unpack it: ctr image unpack --snapshotter {snapshotter} {reference}"
        )),
    })
}

/// The root file system of a container that has no snapshot is a directory of the host.
fn missing_root(spec: &Value) -> Option<String> {
    let root = spec.pointer("/root/path").and_then(Value::as_str)?;
    (Path::new(root).is_absolute() && !Path::new(root).exists())
        .then(|| format!("the root file system {root} is not here; copy it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sources_that_are_not_here_are_named() {
        let spec = json!({"mounts": [
            {"destination": "/a", "source": "/", "options": ["rbind"]},
            {"destination": "/dev/shm", "source": "/nowhere/shm", "options": ["bind", "rw"]},
            {"destination": "/proc", "source": "proc", "type": "proc"},
        ]});
        let missing = missing_sources(&spec);
        assert_eq!(missing.len(), 1);
        assert!(missing[0].contains("/nowhere/shm") && missing[0].contains("/dev/shm"));
    }

    #[test]
    fn a_root_that_is_a_directory_is_looked_for() {
        assert!(missing_root(&json!({"root": {"path": "/nowhere"}})).is_some());
        assert!(missing_root(&json!({"root": {"path": "/"}})).is_none());
        assert!(missing_root(&json!({"root": {"path": "rootfs"}})).is_none());
    }
}

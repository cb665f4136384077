//! A single-layer image as an OCI image layout in a tar archive.
//!
//! OCI image specification 1.1, `image-layout.md`, `image-index.md`,
//! `manifest.md` and `config.md`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use tempfile::NamedTempFile;

use super::layer::Layer;

const SEARCH_PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// What a container runs if nobody says.
pub(super) const SHELL: &[&str] = &["/bin/sh"];

/// Writes the image named `name` to `out` and returns its manifest's digest.
///
/// `env` is added to the environment of its containers, which run `command` if nobody says what.
pub(super) fn write(
    layer: &Layer,
    name: &str,
    env: &[&str],
    command: &[&str],
    out: &Path,
) -> Result<String> {
    let directory = out
        .parent()
        .with_context(|| format!("{} has no parent directory", out.display()))?;
    let staged = NamedTempFile::new_in(directory)
        .with_context(|| format!("make a file in {}", directory.display()))?;
    let mut archive = tar::Builder::new(staged);

    let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", layer.to_tar()?);
    let mut environment = vec![SEARCH_PATH];
    environment.extend(env);
    let config = Blob::json(
        "application/vnd.oci.image.config.v1+json",
        &json!({
            "architecture": architecture()?,
            "os": "linux",
            "config": { "Env": environment, "Cmd": command, "WorkingDir": "/" },
            // The layer is not compressed: its diff id is its digest.
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        }),
    )?;
    let manifest = Blob::json(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        }),
    )?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            // containerd's importer takes the second as the full name; the
            // first is the specification's, which other tools read.
            "annotations": {
                "org.opencontainers.image.ref.name": name,
                "io.containerd.image.name": name,
            },
        }],
    });

    let version = json!({ "imageLayoutVersion": "1.0.0" });
    append(&mut archive, "oci-layout", &serde_json::to_vec(&version)?)?;
    append(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    for blob in [&manifest, &config, &layer] {
        append(&mut archive, &blob.path(), &blob.bytes)?;
    }
    archive
        .into_inner()?
        .persist(out)
        .with_context(|| format!("move the finished archive to {}", out.display()))?;
    Ok(manifest.digest)
}

/// Content with the address under which a layout stores it.
struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = format!("sha256:{:x}", Sha256::digest(&bytes));
        Self {
            media_type,
            digest,
            bytes,
        }
    }

    fn json(media_type: &'static str, value: &Value) -> Result<Self> {
        Ok(Self::new(media_type, serde_json::to_vec(value)?))
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.bytes.len(),
        })
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

fn append(archive: &mut tar::Builder<NamedTempFile>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(u64::try_from(bytes.len())?);
    archive
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("add {path} to the image"))
}

/// Go's name for the architecture of this build, as image configs use it.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no image architecture is known for {other}"),
    }
}

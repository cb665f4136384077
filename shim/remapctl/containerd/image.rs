//! Images.

use anyhow::{Context, Result, bail};
use containerd_client::services::v1::GetImageRequest;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::types::Descriptor;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Containerd, Refused, Service};

/// The configuration of an image.
pub(crate) struct Configuration {
    /// Its digest.
    pub(crate) digest: String,
    /// The name of the snapshot that has all layers (image-spec, config.md, "Layer ChainID").
    pub(crate) chain_id: String,
}

impl Containerd {
    fn images(&self) -> ImagesClient<Service> {
        let (channel, headers) = self.service();
        ImagesClient::with_interceptor(channel, headers)
    }

    /// What the image `name` stands for; none, if there is no such image.
    ///
    /// # Errors
    /// containerd does not say.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<Descriptor>, Refused> {
        let request = GetImageRequest {
            name: name.to_owned(),
        };
        let answer = self.images().get(request).await;
        match answer.map_err(Refused::to("find the image", name)) {
            Ok(answer) => Ok(answer.into_inner().image.and_then(|image| image.target)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The configuration of an image for this kind of machine.
    ///
    /// # Errors
    /// The image's documents are not there, or it has none for this kind of machine.
    pub(crate) async fn configuration(&self, image: &Descriptor) -> Result<Configuration> {
        let mut digest = image.digest.clone();
        // An index names manifests, a manifest its configuration.
        for _ in 0..4 {
            let document = self.document(&digest).await?;
            let document: Value = serde_json::from_slice(&document)
                .with_context(|| format!("the blob {digest} is no JSON"))?;
            if let Some(ids) = document
                .pointer("/rootfs/diff_ids")
                .and_then(Value::as_array)
            {
                let chain_id =
                    chain(ids).with_context(|| format!("{digest} is no image configuration"))?;
                return Ok(Configuration { digest, chain_id });
            }
            let next = match document.get("manifests").and_then(Value::as_array) {
                Some(manifests) => manifests.iter().find(|one| is_for_this_machine(one)),
                None => document.get("config"),
            };
            let next = next
                .and_then(|one| one.get("digest"))
                .and_then(Value::as_str);
            match next {
                Some(next) => digest = next.to_owned(),
                None => bail!("the image {digest} has no manifest for this kind of machine"),
            }
        }
        bail!("the image {} is an index of indexes", image.digest)
    }
}

/// Whether an entry of an index is an image for this machine.
fn is_for_this_machine(entry: &Value) -> bool {
    let is_manifest = entry
        .get("mediaType")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.contains("manifest"));
    let Some(platform) = entry.get("platform") else {
        return is_manifest;
    };
    let has = |key: &str, value: &str| platform.get(key).and_then(Value::as_str) == Some(value);
    is_manifest && has("os", "linux") && has("architecture", architecture())
}

/// The name that OCI has for this kind of machine: Go's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn chain(diff_ids: &[Value]) -> Option<String> {
    let mut ids = diff_ids.iter().map(Value::as_str);
    let first = ids.next()??.to_owned();
    ids.try_fold(first, |chain, id| {
        let digest = Sha256::digest(format!("{chain} {}", id?));
        Some(format!("sha256:{digest:x}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_chain_of_one_is_the_layer_itself() {
        assert_eq!(chain(&[json!("sha256:a")]).unwrap(), "sha256:a");
        // As `printf 'sha256:a sha256:b' | sha256sum` has it.
        let two = chain(&[json!("sha256:a"), json!("sha256:b")]).unwrap();
        assert!(two.starts_with("sha256:") && two.len() == 71, "{two}");
        assert_eq!(chain(&[]), None);
        assert_eq!(chain(&[json!(1)]), None);
    }

    #[test]
    fn only_a_manifest_for_this_machine_is_taken() {
        let entry = |kind: &str, architecture: &str| {
            is_for_this_machine(&json!({
                "mediaType": format!("application/vnd.oci.image.{kind}.v1+json"),
                "platform": {"os": "linux", "architecture": architecture},
            }))
        };
        assert!(entry("manifest", architecture()));
        assert!(!entry("manifest", "unknown"));
        assert!(!entry("index", architecture()));
        let plain = json!({"mediaType": "application/vnd.docker.distribution.manifest.v2+json"});
        assert!(is_for_this_machine(&plain));
    }
}

//! A checkpoint as `ctr image export` writes it: an OCI image layout, with an index
//! in its index.json that lists the parts of the checkpoint.

use anyhow::{Context as _, Result};
use remap_test::Host;
use serde_json::{Value, json};

/// The media type of CRIU's images, as a tar archive.
const CRIU: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";

/// Writes the checkpoint in the archive `from` again to the archive `to`, with the
/// files of the directory `images` in place of its own CRIU images; all on `host`.
pub(crate) fn replace_images(host: &Host, from: &str, images: &str, to: &str) -> Result<()> {
    let layout = Layout {
        host,
        dir: format!("{to}.d"),
    };
    let dir = &layout.dir;
    host.shell(&format!("mkdir {dir} && tar -C {dir} -xf {from}"))?;
    host.shell(&format!("tar -C {images} -cf {dir}/criu.tar ."))?;

    let mut top: Value = serde_json::from_slice(&host.read_file(&format!("{dir}/index.json"))?)?;
    let parts = &mut top["manifests"][0];
    let digest = parts["digest"]
        .as_str()
        .context("index.json has no digest")?;
    let mut index: Value = serde_json::from_slice(&host.read_file(&layout.blob(digest))?)?;
    let criu = index["manifests"]
        .as_array_mut()
        .and_then(|parts| parts.iter_mut().find(|part| part["mediaType"] == CRIU))
        .context("the checkpoint has no CRIU images")?;
    layout.add("criu.tar", criu)?;
    host.write_file(&format!("{dir}/index"), index.to_string())?;
    layout.add("index", parts)?;
    host.write_file(&format!("{dir}/index.json"), top.to_string())?;
    host.shell(&format!(
        "tar -C {dir} -cf {to} oci-layout index.json blobs && rm -r {dir}"
    ))?;
    Ok(())
}

struct Layout<'h> {
    host: &'h Host,
    dir: String,
}

impl Layout<'_> {
    fn blob(&self, digest: &str) -> String {
        format!("{}/blobs/{}", self.dir, digest.replace(':', "/"))
    }

    /// Makes the file `name` a blob, to which `descriptor` then leads.
    fn add(&self, name: &str, descriptor: &mut Value) -> Result<()> {
        let path = format!("{}/{name}", self.dir);
        let line = format!("sha256sum {path} | cut -d' ' -f1 && stat -c %s {path}");
        let output = self.host.shell(&line)?;
        let text = output.text();
        let (sum, size) = text.split_once('\n').context("no checksum and size")?;
        let digest = format!("sha256:{sum}");
        let blob = self.blob(&digest);
        self.host.command("mv").args([&path, &blob]).check()?;
        descriptor["digest"] = json!(digest);
        descriptor["size"] = json!(size.parse::<u64>()?);
        Ok(())
    }
}

//! FUSE file systems of the tests, on a host: `workloads/fuse.py` and those that use it.

use std::path::Path;

use anyhow::Result;
use remap_test::Host;

/// Installs the server `name` in the host's directory `dir`, with what it needs, and returns its path.
pub(crate) fn install(host: &Host, dir: &str, name: &str) -> Result<String> {
    let workloads = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
    let path = |name: &str| format!("{dir}/{name}");
    for file in ["fuse.py", name] {
        host.install_file(&workloads.join(file), Path::new(&path(file)), 0o644)?;
    }
    Ok(path(name))
}

//! Containers that do nothing, and their shims.

use anyhow::{Context, Result};
use remap_test::{Ctr, Runtime};

/// Starts one of `image`.
pub(crate) fn start(ctr: &Ctr<'_>, runtime: Runtime, image: &str, id: &str) -> Result<()> {
    ctr.run(runtime, image, id)
        .shell("while sleep 600; do :; done")
        .start()
}

/// Removes all.
pub(crate) fn stop(ctr: &Ctr<'_>) -> Result<()> {
    ctr.remove_all()
}

/// The pid of its shim, in the numbers of the host.
pub(crate) fn shim(ctr: &Ctr<'_>, id: &str) -> Result<u32> {
    let pattern = format!("^[^ ]*containerd-shim.* -id {id} ");
    let output = ctr.host().command("pgrep").args(["-f", &pattern]).check()?;
    let text = output.text();
    text.parse()
        .with_context(|| format!("not one shim of {id}: {text}"))
}

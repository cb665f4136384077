//! The binaries.

use std::path::Path;

use anyhow::{Context, Result};
use remap_test::Ctr;

use crate::figure::{Aim, Figure};

/// The sizes of the stock shim and of `ours`, stripped both.
pub(crate) fn bench(ctr: &Ctr<'_>, ours: &Path) -> Result<()> {
    let stock = ctr.host().path("/usr/bin/containerd-shim-runc-v2");
    let size = |path: &Path| {
        let metadata = path.metadata();
        let metadata = metadata.with_context(|| format!("cannot look at {}", path.display()))?;
        // Far below 2^53.
        Ok::<_, anyhow::Error>(metadata.len() as f64 / 1e6)
    };
    Figure {
        what: "the binary",
        unit: "MB",
        values: [size(&stock)?, size(ours)?],
        rounds: 1,
        aim: Some(Aim::Ours(6.0)),
    }
    .print();
    Ok(())
}

//! A checkpoint of a small container.

use std::time::Duration;

use anyhow::Result;
use remap_test::{Ctr, image};

use crate::figure::{Aim, Figure, interleaved};
use crate::run::milliseconds;
use crate::{RUNTIMES, idle};

const IMAGE: &str = "remap.test/checkpoint:small";

/// `ctr task checkpoint` of a shell that does nothing; it goes on. Ours is then on the disk, with
/// its digests.
pub(crate) fn bench(ctr: &Ctr<'_>) -> Result<()> {
    for runtime in RUNTIMES {
        idle::start(ctr, runtime, image::BUSYBOX_IMAGE, runtime.name())?;
    }
    let [times] = interleaved(30, |runtime, _| {
        let command = ctr.command(["task", "checkpoint", runtime.name(), IMAGE]);
        let output = command.timeout(Duration::from_secs(60)).check()?;
        let images = ctr.images()?;
        let made = images.iter().filter(|name| name.contains("checkpoint"));
        ctr.command(["image", "rm", "--sync"]).args(made).check()?;
        Ok([milliseconds(output.elapsed)])
    })?;
    let aim = Some(Aim::Ratio(1.05));
    Figure::of(
        "`ctr task checkpoint` of a small container",
        "ms",
        &times,
        aim,
    )
    .print();
    idle::stop(ctr)
}

//! A whole container's life, one after the other and many at once.

use std::time::Duration;

use anyhow::Result;
use remap_test::{Ctr, image};

use crate::figure::{Aim, Figure, interleaved};

/// `ctr run --rm` of `true`.
pub(crate) fn one(ctr: &Ctr<'_>) -> Result<()> {
    let [times] = interleaved(40, |runtime, round| {
        let run = ctr.run(runtime, image::BUSYBOX_IMAGE, &format!("true-{round}"));
        let output = run.flag(["--null-io"]).args(["true"]).output()?.ok()?;
        Ok([milliseconds(output.elapsed)])
    })?;
    let aim = Some(Aim::Ratio(0.8));
    Figure::of("`ctr run --rm --null-io … true`", "ms", &times, aim).print();
    Ok(())
}

/// The same 60 times, 20 at a time.
pub(crate) fn many(ctr: &Ctr<'_>) -> Result<()> {
    let [times] = interleaved(7, |runtime, _| {
        let line = format!(
            "seq 60 | xargs -P 20 -I N ctr run --rm --null-io --runtime {} {} many-N true",
            runtime.name(),
            image::BUSYBOX_IMAGE
        );
        let output = ctr.host().command("sh").args(["-c", &line]);
        let output = output.timeout(Duration::from_secs(300)).check()?;
        Ok([output.elapsed.as_secs_f64()])
    })?;
    let aim = Some(Aim::Ratio(0.75));
    Figure::of("60 of these, 20 at a time", "s", &times, aim).print();
    Ok(())
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

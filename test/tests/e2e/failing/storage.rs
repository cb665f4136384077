//! A device that fails, or is full, under the images and under CRIU's working directory.

use anyhow::{Context as _, Result};
use remap_test::{FailingFs, Failure};

use super::in_turn;
use crate::context::Context;
use crate::interrupted::ground::{Ground, expect_failure};
use crate::interrupted::restore::Restorable;
use crate::workload::{ID, LIMIT};

/// What fails, and what `ctr` has to say then.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    u32,
    &'static [&'static str],
);

/// Under the images.
const IMAGES: [Case; 9] = [
    (
        "mkdir",
        "images",
        "EIO",
        0,
        &["phase prepare", "/images", "Input/output error"],
    ),
    (
        "write",
        "pages-1.img",
        "EIO",
        0,
        &["phase dump", "Input/output error"],
    ),
    (
        "write",
        "pages-1.img",
        "ENOSPC",
        0,
        &["phase dump", "No space left"],
    ),
    (
        "create",
        "core-1.img",
        "EIO",
        0,
        &["phase dump", "core-1.img", "Input/output error"],
    ),
    (
        "write",
        "remap-mount-0.tar",
        "EIO",
        0,
        &["phase capture", "/dev/shm", "Input/output error"],
    ),
    (
        "read",
        "files.img",
        "EIO",
        0,
        &["phase capture", "files.img", "Input/output error"],
    ),
    (
        "fsync",
        "pages-1.img",
        "EIO",
        0,
        &["phase seal", "pages-1.img", "Input/output error"],
    ),
    (
        "fsync",
        "pages-1.img",
        "ENOSPC",
        0,
        &["phase seal", "pages-1.img", "No space left"],
    ),
    (
        "write",
        "remap-manifest.json.new",
        "EIO",
        0,
        &["phase seal", "remap-manifest.json", "Input/output error"],
    ),
];

/// Under the working directory.
const WORK: [Case; 3] = [
    (
        "mkdir",
        "work",
        "EIO",
        0,
        &["phase dump", "/work", "Input/output error"],
    ),
    (
        "create",
        "dump.log",
        "EIO",
        0,
        &["phase dump", "dump.log", "Input/output error"],
    ),
    (
        "create",
        "dump.log",
        "ENOSPC",
        0,
        &["phase dump", "dump.log", "No space left"],
    ),
];

pub(super) fn images(context: &Context) -> Result<()> {
    dumps(context, &IMAGES, |ground, at| {
        ground.images = at.file("images");
    })
}

pub(super) fn work(context: &Context) -> Result<()> {
    dumps(context, &WORK, |ground, at| ground.work = at.file("work"))
}

/// In turn of a checkpoint after which the container goes on, and of one with which it
/// is to end.
fn dumps(context: &Context, cases: &[Case], put: fn(&mut Ground, &FailingFs)) -> Result<()> {
    let mut ground = Ground::new(context, "sem-creator-first")?;
    ground.fill(2)?;
    let before = ground.look()?;
    let path = format!("{}/failing", ground.dir);
    for ((operation, name, effect, skip, parts), exit) in cases.iter().zip(in_turn()) {
        let failure = Failure {
            operation,
            name,
            effect,
            skip: *skip,
        };
        let at = FailingFs::mount(context.a(), &path, &[failure])?;
        put(&mut ground, &at);
        let case = || format!("{effect} at {operation} of {name}, exit: {exit}");
        let checkpoint = ground.checkpoint(exit)?;
        let failed = ground.expect_failure(checkpoint, parts);
        failed.with_context(case)?;
        ground.assert_as_before(&before).with_context(case)?;
    }
    ground.ctr.remove(ID)
}

/// Where containerd unpacks a checkpoint, a file cannot be read: by the engine first,
/// then by CRIU.
pub(super) fn restore(context: &Context) -> Result<()> {
    let mut restorable = Restorable::new(context)?;
    let cases: [Case; 2] = [
        (
            "read",
            "pages-1.img",
            "EIO",
            0,
            &["phase verify", "pages-1.img", "Input/output error"],
        ),
        (
            "open",
            "pages-1.img",
            "EIO",
            1,
            &["phase restore", "pages-1.img", "Input/output error"],
        ),
    ];
    for (operation, name, effect, skip, parts) in cases {
        let failure = Failure {
            operation,
            name,
            effect,
            skip,
        };
        let at = FailingFs::mount(context.a(), "/tmp", &[failure])?;
        let case = || format!("{effect} at {operation} of {name}, after {skip}");
        let restore = restorable.restore()?;
        expect_failure(restore.finish(LIMIT)?, parts).with_context(case)?;
        restorable.expect_no_task()?;
        restorable.expect_old_contents().with_context(case)?;
        restorable.ctr().remove(ID)?;
        drop(at);
        restorable.expect_restorable().with_context(case)?;
        restorable.refill()?;
    }
    restorable
        .ctr()
        .remove_image(crate::interrupted::restore::IMAGE)
}

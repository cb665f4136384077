//! Annotations that cannot be used.

use anyhow::{Context as _, Result, ensure};

use super::{IMAGE, MOUNTS, busybox, expect_refusal, start};
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::ID;

/// What the bundle alone tells keeps the container from being created.
pub(super) fn at_create(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    for (annotation, value, parts) in [
        (
            "io.remap.mount",
            "/dev/shm=carry",
            &["there is no annotation io.remap.mount", "io.remap.mounts, "][..],
        ),
        (
            MOUNTS,
            "/dev/shm=keep",
            &["\"/dev/shm=keep\"", "carry, ghost, "],
        ),
        (MOUNTS, "/a=carry;b=ignore", &["\"b=ignore\"", "absolute"]),
        (
            "io.remap.file-locks",
            "yes",
            &["io.remap.file-locks", "true or false"],
        ),
        (
            "io.remap.carry-limit-bytes",
            "64MB",
            &["io.remap.carry-limit-bytes", "\"64MB\""],
        ),
    ] {
        let run = busybox(context).annotation(annotation, value);
        let error = run.shell("exec sleep 600").start().err();
        let error = error.context("it is created")?.to_string();
        for part in parts {
            ensure!(error.contains(part), "no {part:?} in {error}");
        }
        ctr.remove(ID)?;
    }
    // Commas and equals signs arrive as they are, whatever ctr does with flags.
    let odd = "/a,b=c:d=ignore;/dev/shm=carry:64M";
    let run = busybox(context).annotation(MOUNTS, odd);
    start(context, run.shell("touch /ready; exec sleep 600"))?;
    let parts = ["names /a,b=c:d, which is no mount", "/dev/shm"];
    expect_refusal(&ctr, ctr.checkpoint(ID, IMAGE), &parts)?;
    ctr.remove(ID)
}

/// What only the mounts tell forbids a checkpoint, and says what there is.
pub(super) fn for_the_mounts(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let disk = context.dir()?;
    context.a().write_file(&shm.file("file"), "")?;
    let [ro, file] = [
        format!("type=bind,src={},dst=/ro,options=rbind:ro", shm.path()),
        format!(
            "type=bind,src={},dst=/file,options=rbind:rw",
            shm.file("file")
        ),
    ];
    let policies = "/dev/shn=carry;/ro=carry;/file=carry;/disk=carry;/proc=ignore";
    let run = busybox(context)
        .mount(&ro)
        .mount(&file)
        .bind(&disk, "/disk")
        .annotation(MOUNTS, policies);
    start(context, run.shell("touch /ready; exec sleep 600"))?;
    let parts = [
        "names /dev/shn, which is no mount of this container; name one of its mounts: /, ",
        "/dev/shm",
        "says carry of the mount at /ro, which cannot be: it is read-only",
        "says carry of the mount at /file, which cannot be: it is a single file",
        "says carry of the mount at /disk, which cannot be: it is no tmpfs",
        "says ignore of the mount at /proc, which cannot be: it is no bind",
    ];
    expect_refusal(&ctr, ctr.checkpoint(ID, IMAGE), &parts)?;
    ctr.remove(ID)
}

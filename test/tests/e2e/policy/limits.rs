//! How much may be carried.

use anyhow::{Result, ensure};
use remap_test::ctr::Status;

use super::{IMAGE, MOUNTS, busybox, expect, expect_refusal, start};
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT};

/// A checkpoint that would carry more is refused before anything is touched, whether the container
/// runs on or ends.
pub(super) fn limits(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "dd if=/dev/zero of=/dev/shm/file bs=1024 count=300; \
                            truncate -s 1G /dev/shm/sparse; touch /ready; while :; do sleep 0.1; done";
    let ctr = context.ctr();
    let dir = context.dir()?;
    let (images, work) = (format!("{dir}/images"), format!("{dir}/work"));
    let shm = Shm::mount(context.a(), ID)?;
    let run = busybox(context)
        .bind(shm.path(), "/dev/shm")
        .annotation(MOUNTS, "/dev/shm=carry:100K")
        .annotation("io.remap.carry-limit-bytes", "200K");
    start(context, run.shell(WORKLOAD))?;
    let names = shm.names()?;
    let both = [
        "307200 bytes would be carried of the mount at /dev/shm, and the annotation \
         io.remap.mounts allows 102400",
        "307200 bytes of mounts would be carried, and the annotation \
         io.remap.carry-limit-bytes allows 204800: 307200 bytes at /dev/shm",
    ];
    expect_refusal(&ctr, ctr.checkpoint(ID, IMAGE), &both)?;
    for exit in [false, true] {
        let refused = ctr.checkpoint_task(ID, &images, &work, exit);
        expect_refusal(&ctr, refused, &both)?;
        ensure!(!context.a().path(&images).exists(), "{images} is left over");
    }
    shm.expect_names(&names)?;

    context
        .a()
        .shell(&format!("truncate -s 152K {}", shm.file("file")))?;
    let refused = ctr.checkpoint(ID, IMAGE);
    let said = refused.as_ref().err().map(ToString::to_string);
    ensure!(
        !said.is_some_and(|said| said.contains("carry-limit-bytes")),
        "the limit of the container is not exceeded"
    );
    expect_refusal(
        &ctr,
        refused,
        &["155648 bytes would be carried of the mount"],
    )?;

    context
        .a()
        .shell(&format!("truncate -s 52K {}", shm.file("file")))?;
    ctr.checkpoint_task(ID, &images, &work, false)?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    expect(
        &ctr,
        "stat -c %s /dev/shm/file /dev/shm/sparse",
        "53248\n1073741824",
    )?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

//! Options of dump and restore.

use anyhow::Result;
use remap_test::ctr::{Run, Status};

use super::{IMAGE, busybox, expect, expect_refusal, start};
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT};

/// The container ends with a checkpoint although the client has not asked for that, and cannot in
/// some ways of installing the shim.
pub(super) fn exit(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "exec 3<>/dev/shm/held; echo held >&3; touch /ready; \
                            while :; do sleep 0.1; done";
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let run = busybox(context)
        .bind(shm.path(), "/dev/shm")
        .annotation("io.remap.exit", "true");
    start(context, run.shell(WORKLOAD))?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.wait_for(ID, &Status::Stopped, LIMIT)?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    expect(&ctr, "cat /dev/shm/held /proc/1/fd/3", "held\nheld")?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// Holds a lock.
const LOCKER: &str = "\
import fcntl, time
held = open('/locked', 'w')
fcntl.flock(held, fcntl.LOCK_EX)
open('/ready', 'w').close()
while True:
    time.sleep(1)
";

/// `ctr task checkpoint` cannot ask for file locks: with one it is refused, unless an annotation
/// allows it. The checkpoint then says that it has locks.
pub(super) fn file_locks(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let dir = context.dir()?;
    let (images, work) = (format!("{dir}/images"), format!("{dir}/work"));
    let locker = || -> Result<Run<'_>> {
        let run = ctr.run(context.runtime(), context.python()?, ID);
        Ok(run.args(["python3", "-c", LOCKER]))
    };
    start(context, locker()?)?;
    let refused = ctr.checkpoint_task(ID, &images, &work, false);
    expect_refusal(&ctr, refused, &["a file lock", "io.remap.file-locks"])?;
    ctr.remove(ID)?;

    start(context, locker()?.annotation("io.remap.file-locks", "true"))?;
    ctr.checkpoint_task(ID, &images, &work, false)?;
    let manifest = context
        .a()
        .read_file(&format!("{images}/remap-manifest.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    anyhow::ensure!(manifest["options"]["file_locks"] == true, "{manifest}");
    ctr.remove(ID)
}

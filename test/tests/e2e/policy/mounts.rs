//! Policies of single mounts.

use anyhow::{Result, ensure};
use remap_test::{Background, Host, wait};

use super::{
    IMAGE, MOUNTS, busybox, expect, expect_plan, expect_refusal, move_to_b, start, wait_for_file,
};
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT};

/// A tmpfs of which a process of the host's holds a file goes along as a whole: without the policy
/// only what the container has open would.
pub(super) fn carry(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "cd /dev/shm; echo closed >closed; exec 3<>held; echo held >&3; \
                            touch /ready; while :; do sleep 0.1; done";
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let neighbour = Neighbour::start(context.a(), &a_shm)?;
    let run = busybox(context).bind(a_shm.path(), "/dev/shm");
    start(context, run.shell(WORKLOAD))?;
    expect_plan(&context.ctr(), &["shared tmpfs own files carried", "pid"])?;
    move_to_b(context)?;
    let b = context.ctr_on_b();
    expect(&b, "ls /dev/shm", "held")?;
    b.remove(ID)?;
    a_shm.clear_but("neighbour")?;
    b_shm.clear()?;

    let run = busybox(context).bind(a_shm.path(), "/dev/shm");
    let run = run.annotation(MOUNTS, "/dev/shm=carry");
    start(context, run.shell(WORKLOAD))?;
    let planned = [
        "shared tmpfs carried, ",
        "/dev/shm: carry, as an annotation says",
    ];
    expect_plan(&context.ctr(), &planned)?;
    move_to_b(context)?;
    expect(&b, "ls /dev/shm", "closed\nheld\nneighbour")?;
    expect(&b, "cat /dev/shm/closed /proc/1/fd/3", "closed\nheld")?;
    b.remove(ID)?;
    neighbour.end()
}

/// A process of the host's with a file open on a tmpfs.
struct Neighbour(Background);

impl Neighbour {
    fn start(host: &Host, shm: &Shm) -> Result<Self> {
        let line = "exec 9<>neighbour && echo ready && exec sleep 600";
        let command = host.command("sh").args(["-c", line]);
        let process = command.current_dir(shm.path()).spawn()?;
        let ready = || Ok(!process.stdout_so_far().is_empty());
        ensure!(wait::until(LIMIT, ready)?, "the neighbour is not ready");
        Ok(Self(process))
    }

    fn end(self) -> Result<()> {
        self.0.kill()?;
        Ok(())
    }
}

/// Of two mounts one is said to be the same on the target, and the other to be nobody's business:
/// the target's files stay, and what the container holds is there what has its name.
pub(super) fn target_has_its_own(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "echo 'from a' >/dev/shm/held; exec 3<>/dev/shm/held; \
                            echo 'from a' >/scratch/file; exec 4<>/scratch/file; \
                            touch /ready; while :; do sleep 0.1; done";
    const OTHER: &str = "scratch";
    let (a_shm, b_shm) = (Shm::mount(context.a(), ID)?, Shm::mount(context.b(), ID)?);
    let a_other = Shm::mount(context.a(), OTHER)?;
    let b_other = Shm::mount(context.b(), OTHER)?;
    let run = busybox(context)
        .bind(a_shm.path(), "/dev/shm")
        .bind(a_other.path(), "/scratch")
        .annotation(MOUNTS, "/dev/shm=persistent;/scratch=ignore");
    start(context, run.shell(WORKLOAD))?;
    let planned = [
        "/dev/shm persistent tmpfs expected on the target",
        "/scratch ephemeral tmpfs not carried: to be ignored",
        "/scratch: ignore, as an annotation says",
        "1 file in use at /scratch, of which an annotation says ignore",
    ];
    expect_plan(&context.ctr(), &planned)?;

    for (shm, name) in [(&b_shm, "held"), (&b_other, "file")] {
        let host = context.b();
        host.write_file(&shm.file(name), "from b\n")?;
        host.write_file(&shm.file("own"), "")?;
    }
    move_to_b(context)?;
    let b = context.ctr_on_b();
    expect(&b, "cat /proc/1/fd/3 /proc/1/fd/4", "from b\nfrom b")?;
    expect(
        &b,
        "ls /dev/shm /scratch",
        "/dev/shm:\nheld\nown\n\n/scratch:\nfile\nown",
    )?;
    b.remove(ID)
}

/// No checkpoint while a file there is open; when it is closed the mount is carried as ever.
pub(super) fn refuse(context: &Context) -> Result<()> {
    const WORKLOAD: &str = "exec 3<>/dev/shm/held; touch /ready; \
                            while [ ! -e /go ]; do sleep 0.1; done; exec 3>&-; touch /closed; \
                            while :; do sleep 0.1; done";
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let run = busybox(context)
        .bind(shm.path(), "/dev/shm")
        .annotation(MOUNTS, "/dev/shm=refuse");
    start(context, run.shell(WORKLOAD))?;
    let parts = ["forbids a checkpoint", " by fd 3 on /dev/shm/held", MOUNTS];
    expect_refusal(&ctr, ctr.checkpoint(ID, IMAGE), &parts)?;
    ctr.exec(ID, &["touch", "/go"])?.ok()?;
    wait_for_file(&ctr, "/closed")?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    expect(&ctr, "ls /dev/shm", "held")?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

//! What goes wrong while a container is frozen to be looked at.

use std::time::Duration;

use anyhow::{Result, ensure};
use remap_test::ctr::Status;
use remap_test::{Ctr, wait};

use super::ask;
use crate::context::Context;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// A runc that does what it is told, and then fails where a file says so; `slow` holds it up before
/// it pauses, until that file is gone.
const RUNC: &str = r#"#!/bin/sh
dir=$(dirname "$0")
for word; do
    case $word in pause|resume) action=$word ;; esac
done
if [ "$action" = pause ]; then
    while [ -e "$dir/slow" ]; do touch "$dir/begun"; sleep 0.05; done
fi
[ "$action" = resume ] && [ -e "$dir/fail-resume" ] && { echo "resume failed" >&2; exit 1; }
runc "$@" || exit
[ "$action" = pause ] && [ -e "$dir/fail-pause" ] && { echo "pause failed" >&2; exit 1; }
exit 0
"#;

/// Whatever fails the container runs on; if it cannot, its state says so.
pub(super) fn faults(context: &Context) -> Result<()> {
    let (ctr, host, dir) = (context.ctr(), context.a(), context.dir()?);
    let runc = format!("{dir}/runc");
    host.write_file(&runc, RUNC)?;
    host.command("chmod").args(["755", &runc]).check()?;
    let set = |name: &str| host.write_file(&format!("{dir}/{name}"), "");
    let unset = |name: &str| host.shell(&format!("rm {dir}/{name}"));
    let shm = Shm::mount(host, ID)?;
    let workload = Workload::start_by(context, &shm, "counter", |run| {
        run.flag(["--runc-binary", &runc])
    })?;
    let before = workload.probe(&ctr)?;
    let freeze = |ctr: &Ctr| ask::plan(ctr, ID, &["--freeze"]);

    set("fail-pause")?;
    ask::expect(&freeze(&ctr)?, 3, &["pause failed"])?;
    workload.expect_same(&ctr, &before)?;
    unset("fail-pause")?;

    set("fail-resume")?;
    ask::expect(&freeze(&ctr)?, 3, &["stays paused", "resume failed"])?;
    ctr.wait_for(ID, &Status::Paused, LIMIT)?;
    unset("fail-resume")?;
    ctr.resume(ID)?;
    workload.expect_same(&ctr, &before)?;

    // The client goes away before the container is frozen.
    set("slow")?;
    let client = host
        .command("remapctl")
        .args(["plan", "--freeze", ID])
        .spawn()?;
    let begun = || Ok(host.path(format!("{dir}/begun")).exists());
    ensure!(wait::until(LIMIT, begun)?, "nothing is frozen");
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    client.kill()?;
    unset("slow")?;
    // Pausing waits for what is under way.
    ctr.pause(ID)?;
    ctr.wait_for(ID, &Status::Paused, LIMIT)?;
    ctr.resume(ID)?;
    workload.expect_same(&ctr, &before)?;

    // The client gives up: so does nothing else.
    set("slow")?;
    let impatient = ask::plan(&ctr, ID, &["--freeze", "--timeout", "1"])?;
    ask::expect(&impatient, 3, &["does not answer within 1 s"])?;
    unset("slow")?;
    let answers = || Ok(freeze(&ctr)?.exit_code() == 0);
    ensure!(wait::until(Duration::from_secs(60), answers)?, "no answer");
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)
}

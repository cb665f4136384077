//! Processes of another user, where CRIU may not ask for their limits.

use anyhow::{Context as _, Result, ensure};

use crate::context::Context;
use crate::scenario::skip;
use crate::stock::expect_in_log;
use crate::workload::{ID, wait_until_ready};

const IMAGE: &str = "remap.test/other-user:1";

/// A child that is another user.
const WORKLOAD: &str = "\
import os, time
os.makedirs('/workload-state')
if os.fork() == 0:
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
    time.sleep(1000)
open('/workload-state/ready', 'w').close()
time.sleep(1000)
";

/// `CAP_SYS_RESOURCE` of linux/capability.h.
const SYS_RESOURCE: u32 = 24;

/// The plan tries what CRIU would, and names the process and its user. With the stock shim CRIU fails
/// in the middle.
pub(super) fn refused(context: &Context) -> Result<()> {
    if has_capability(context)? {
        return skip("whoever has CAP_SYS_RESOURCE is told the limits of every process");
    }
    let ctr = context.ctr();
    start(context, &[])?;
    let error = ctr.checkpoint(ID, IMAGE).err();
    let error = error.context("the limits are told")?.to_string();
    if context.runtime().is_ours() {
        for part in ["phase plan", "CAP_SYS_RESOURCE", "(python3), of user 1000"] {
            ensure!(error.contains(part), "no {part:?} in {error}");
        }
    } else {
        expect_in_log(&ctr, "criu-dump.log", &["Can't get rlimit"])?;
    }
    ctr.remove(ID)
}

/// In a user namespace the capability is that of its owner, which is root on the host.
pub(super) fn in_user_namespace(context: &Context) -> Result<()> {
    let ctr = context.ctr();
    let map = "0:100000:65536";
    start(context, &["--uidmap", map, "--gidmap", map])?;
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;
    ctr.restore(ID, IMAGE)?;
    let line = "grep -l '^Name:.python3' /proc/[0-9]*/status | xargs sed -n 's/^Uid:.//p'";
    let said = ctr.exec(ID, &["sh", "-c", line])?.ok()?;
    let users = said.text().split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(users == "0 0 0 0 1000 1000 1000 1000", "users: {users}");
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

fn start(context: &Context, flags: &[&str]) -> Result<()> {
    let ctr = context.ctr();
    let run = ctr.run(context.runtime(), context.python()?, ID);
    run.flag(flags.iter().copied())
        .args(["python3", "-c", WORKLOAD])
        .start()?;
    wait_until_ready(&ctr)
}

/// Whether what is started on the host, such as containerd, has it.
fn has_capability(context: &Context) -> Result<bool> {
    let line = "sed -n 's/^CapEff:\t//p' /proc/self/status";
    let said = context.a().shell(line)?;
    let set = u64::from_str_radix(said.text().trim(), 16).context("no set of capabilities")?;
    Ok(set & (1 << SYS_RESOURCE) != 0)
}

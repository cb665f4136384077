//! A container that shares namespaces with the host.

use anyhow::{Context as _, Result, ensure};

use super::holder::Container;
use crate::context::Context;
use crate::workload::ID;

/// What is fine in a namespace of the container's own is refused in one of the host's.
pub(super) fn of_host(context: &Context) -> Result<()> {
    let dir = context.dir()?;
    let shared = Container::start(context, &dir, |run| {
        run.flag(["--with-ns", "ipc:/proc/1/ns/ipc", "--net-host"])
            .flag(["--device", "/dev/net/tun"])
    })?;
    let holders = shared.add(&["system-v", "tun"])?;
    let said = shared.expect_refusal(shared.checkpoint())?;
    for part in [
        "a System V shared memory segment",
        "on /SYSV",
        "a TUN device",
        "on /dev/net/tun",
    ] {
        ensure!(said.contains(part), "no {part:?} in {said}");
    }
    shared.expect(&holders)?;
    shared.end(&holders)?;
    shared.checkpoint().context("both are gone")?;
    context.ctr().remove(ID)?;

    let own = Container::start(context, &dir, |run| run.flag(["--device", "/dev/net/tun"]))?;
    own.add(&["system-v", "tun"])?;
    own.checkpoint().context("the namespaces are its own")?;
    context.ctr().remove(ID)
}

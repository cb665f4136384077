//! `remapctl install` where containerd is a service of systemd.

use anyhow::{Result, ensure};
use remap_test::image::{self, BUSYBOX_IMAGE};
use remap_test::{Containerd, Host, Runtime, wait};

use crate::context::Context;
use crate::fresh::Fresh;
use crate::scenario::Scenario;
use crate::workload::LIMIT;

/// See [`super::SCENARIOS`].
pub(super) const SERVICE: Scenario =
    Scenario::new("machine::install", service).runtimes(&[Runtime::Remap]);

const LINK: &str = "/usr/local/sbin/containerd-shim-runc-v2";

/// containerd is restarted when the shim comes, and stopped while it goes; containers run on.
fn service(context: &Context) -> Result<()> {
    let host = Host::machine(context.flavour())?;
    // Its configuration is that of the other scenarios then.
    Runtime::Stock.prepare(&host)?;
    Containerd::of(&host).stop()?;
    host.command("systemctl")
        .args(["start", "containerd"])
        .check()?;
    let fresh = Fresh::of(host)?;
    let answers = || {
        Ok(fresh
            .host
            .command("ctr")
            .arg("version")
            .run()?
            .status
            .success())
    };
    ensure!(wait::until(LIMIT, answers)?, "containerd does not answer");
    image::busybox(context.tree().root(), &fresh.host.path("/srv/busybox.tar"))?;
    fresh.ctr().import_image("/srv/busybox.tar")?;

    let before = pid(&fresh)?;
    let parts = [LINK, "containerd.service was restarted"];
    fresh.expect("install --yes --restart", 0, &parts)?;
    ensure!(pid(&fresh)? != before, "it was not restarted");
    fresh.run("ours", Runtime::DropIn)?;
    ensure!(fresh.noted_shim("ours")? == LINK, "it is another shim's");

    let parts = ["1 container of this shim runs on", "it is uninstalled"];
    fresh.expect("uninstall --yes --restart", 0, &parts)?;
    fresh.host.shell(&format!("test ! -L {LINK}"))?;
    fresh.expect_running("ours")?;
    fresh.expect_checkpoint("ours")?;
    let run = fresh.ctr().run(Runtime::DropIn, BUSYBOX_IMAGE, "stock");
    run.shell("while :; do sleep 1; done").start()?;
    ensure!(fresh.noted_shim("stock")? != LINK, "it is ours still");
    for id in ["ours", "stock"] {
        fresh.ctr().remove(id)?;
    }
    fresh.expect("prune --yes", 0, &["removed"])?;
    fresh
        .host
        .command("systemctl")
        .args(["stop", "containerd"])
        .check()?;
    Ok(())
}

/// The main process of the service.
fn pid(fresh: &Fresh) -> Result<String> {
    let show = fresh.host.command("systemctl");
    let show = show.args(["show", "--property=MainPID", "--value", "containerd"]);
    Ok(show.check()?.text().into_owned())
}

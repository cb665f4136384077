//! What is in the way of an installation, and what fails half-way.

use anyhow::{Result, ensure};

use super::{HOME, LINK, STOCK, difference};
use crate::context::Context;
use crate::fresh::{BUILD, Fresh};

/// Every reason at once, and nothing is touched.
pub(super) fn in_the_way(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    let before = fresh.files()?;
    let parts = [
        "is no service of systemd",
        "is not in containerd's PATH",
        "nothing was changed",
    ];
    fresh.expect(
        "install --as side-by-side --dir /srv --yes --restart",
        1,
        &parts,
    )?;
    fresh.expect(
        "install --dir /nowhere --yes",
        1,
        &["there is no directory /nowhere"],
    )?;
    fresh.expect(
        &format!("install --shim {STOCK} --yes"),
        1,
        &["is not this project's shim"],
    )?;
    fresh.expect(
        "install --shim /nowhere --yes",
        1,
        &["there is no shim at /nowhere"],
    )?;
    let nobody = host.command("setpriv");
    let nobody = nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let output = nobody
        .arg(format!("{BUILD}/remapctl"))
        .args(["install", "--yes"])
        .run()?;
    crate::fresh::says(&output, 1, &["not root"])?;

    // The administrator has a shim of his own there.
    host.shell(&format!("cp {STOCK} {LINK}"))?;
    fresh.expect(
        "install --yes",
        1,
        &["no directory below /usr/local or /opt comes before"],
    )?;
    host.shell(&format!("rm {LINK}; cp {STOCK} {HOME}"))?;
    fresh.expect(
        "install --as side-by-side --yes",
        1,
        &["is not this project's shim"],
    )?;
    host.shell(&format!("rm {HOME}"))?;
    // A PATH in which nothing comes before the stock shim's directory.
    fresh.stop_containerd()?;
    fresh.expect("install --yes", 1, &["containerd does not run"])?;
    fresh.start_containerd("/usr/bin:/usr/sbin:/usr/local/bin")?;
    let parts = [
        "comes before the stock shim (/usr/bin/containerd-shim-runc-v2)",
        "systemctl edit containerd",
    ];
    fresh.expect("install --yes", 1, &parts)?;
    let after = fresh.files()?;
    ensure!(
        after == before,
        "not as it was:\n{}",
        difference(&before, &after)
    );
    fresh.host.stop()
}

/// What fails half-way is taken back.
pub(super) fn taken_back(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    let before = fresh.files()?;
    host.shell("mount -t tmpfs -o ro,mode=755 none /usr/local/sbin")?;
    fresh.expect(
        "install --yes",
        3,
        &["Read-only file system", "nothing was changed"],
    )?;
    host.shell("umount /usr/local/sbin")?;
    let after = fresh.files()?;
    ensure!(
        after == before,
        "not as it was:\n{}",
        difference(&before, &after)
    );
    fresh.expect("install --yes", 0, &["it is installed"])?;
    fresh.host.stop()
}

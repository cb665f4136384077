//! A restore that fails in a network namespace which others use, as those of a pod do. CRIU locks it
//! meanwhile, and does not unlock it.

use anyhow::{Result, ensure};
use remap_test::image::BUSYBOX_IMAGE;
use remap_test::{Host, Runtime, wait};

use crate::context::Context;
use crate::scenario::Scenario;
use crate::workload::{ID, LIMIT};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("cut_off::failed_restore", |context| {
        ensure!(is_open(context)?, "the network stays locked");
        Ok(())
    })
    .runtimes(&[Runtime::Remap]),
    Scenario::new("cut_off::failed_restore", |context| {
        ensure!(!is_open(context)?, "the stock shim unlocks it, too");
        Ok(())
    })
    .runtimes(&[Runtime::Stock]),
];

const IMAGE: &str = "remap.test/cut-off:1";

const NETWORK: &str = "/run/cut-off-net";

/// Whether others in its network are reached after a restore of a container has failed.
fn is_open(context: &Context) -> Result<bool> {
    let (host, ctr, dir) = (context.a(), context.ctr(), context.dir()?);
    host.shell(&format!(
        "touch {NETWORK} && unshare --net={NETWORK} ip link set lo up"
    ))?;
    ctr.run(context.runtime(), BUSYBOX_IMAGE, ID)
        .bind(&dir, "/data")
        .flag(["--with-ns", &format!("network:{NETWORK}")])
        .shell("exec 3>/data/open; touch /data/ready; while :; do sleep 0.1; done")
        .start()?;
    let ready = || Ok(ctr.exec(ID, &["test", "-e", "/data/ready"])?.exit_code() == 0);
    ensure!(wait::until(LIMIT, ready)?, "it does not get ready");
    ensure!(refuses(host)?, "the network does not work");
    ctr.checkpoint(ID, IMAGE)?;
    ctr.remove(ID)?;

    // CRIU misses the file when the network is locked already.
    host.command("rm").arg(format!("{dir}/open")).check()?;
    ensure!(ctr.restore(ID, IMAGE).is_err(), "it is restored");
    let open = refuses(host)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)?;
    host.shell(&format!("umount {NETWORK} && rm {NETWORK}"))?;
    Ok(open)
}

/// A port on which nobody listens refuses; if the network is locked there is no answer.
fn refuses(host: &Host) -> Result<bool> {
    let network = format!("--net={NETWORK}");
    let command = host.command("timeout").args(["3", "nsenter", &network]);
    let output = command
        .args(["bash", "-c", "echo >/dev/tcp/127.0.0.1/9"])
        .run()?;
    Ok(output.error_text().contains("refused"))
}

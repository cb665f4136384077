//! The shim is killed, and so is what cleans up after it: the next start of containerd
//! does that once more.

use anyhow::{Result, ensure};
use remap_test::{Containerd, Runtime, shim, wait};

use super::ground::{Ground, bundle};
use super::processes::kill_shim;
use super::window::Stage;
use crate::context::Context;
use crate::workload::LIMIT;

/// While a dump is held: the tasks stay frozen, CRIU waits, and its links are there, until
/// the notes in the bundle are read.
pub(super) fn later(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let names = ground.shm.names()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    let host = context.a();
    shim::install_shim(host, "/bin/false".as_ref())?;
    kill_shim(host, crate::workload::ID)?;
    ground.expect_failure(checkpoint, &[])?;
    let failed = || {
        let log =
            host.shell("grep -c 'failed to clean up after shim' /var/log/containerd.log; true")?;
        Ok(log.text() != "0")
    };
    ensure!(wait::until(LIMIT, failed)?, "the clean-up does not fail");
    let notes = host.path(format!("{}/remap/checkpoint.json", bundle()));
    ensure!(notes.exists(), "the notes are gone, and nothing was done");

    shim::install_shim(host, &shim::binary()?)?;
    let daemon = Containerd::of(host);
    daemon.stop()?;
    daemon.ensure(Runtime::DropIn.lookup())?;
    ground.assert_ended(context, &names)
}

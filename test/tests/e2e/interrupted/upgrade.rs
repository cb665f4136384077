//! The shim's file is replaced by that of another build while containers run.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use remap_test::Host;
use remap_test::shim;

use super::ground::{Ground, bundle};
use super::processes::{kill_shim, shim_pid};
use super::window::Stage;
use crate::context::Context;
use crate::workload::ID;

const IMAGE: &str = "remap.test/upgrade:1";

/// The container goes on under the shim that it has, which dumps it with a script of
/// its own build; the new build restores what the old one has dumped.
pub(super) fn running(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let before = ground.look()?;
    let new = Build::install(context.a())?;
    let exe = exe_of_shim(context.a())?;
    ensure!(
        exe.ends_with(" (deleted)"),
        "the shim runs {exe}, which was replaced"
    );
    ground.ctr.checkpoint(ID, IMAGE)?;
    ground.assert_as_before(&before)?;
    ground.ctr.remove(ID)?;

    ground.shm.clear()?;
    ground.ctr.restore(ID, IMAGE)?;
    let exe = exe_of_shim(context.a())?;
    ensure!(
        !exe.ends_with(" (deleted)"),
        "the old build restores: {exe}"
    );
    ground.assert_restored(&before)?;
    ground.ctr.remove(ID)?;
    ground.ctr.remove_image(IMAGE)?;
    new.remove()
}

/// A dump of the old build is interrupted, and cleaned up by the new one, which reads
/// what the old one has noted, also in the form that builds before the first release had.
pub(super) fn interrupted(context: &Context) -> Result<()> {
    let ground = Ground::new(context, "sem-creator-first")?;
    let names = ground.shm.names()?;
    ground.window.close(Stage::PostDump)?;
    let checkpoint = ground.checkpoint(false)?;
    ground.window.wait()?;
    let plan = format!("{}/remap/plan.json", bundle());
    let line = format!("jq 'del(.obstacles)' {plan} >/srv/plan && mv /srv/plan {plan}");
    context.a().shell(&line)?;
    let new = Build::install(context.a())?;
    kill_shim(context.a(), ID)?;
    ground.expect_failure(checkpoint, &[])?;
    ground.assert_ended(context, &names)?;
    new.remove()
}

/// Another build of the shim, installed in place of the one under test.
struct Build<'h>(&'h Host);

impl<'h> Build<'h> {
    /// The same program in another file, of other contents.
    fn install(host: &'h Host) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let copy = dir.path().join("shim");
        fs::copy(shim::binary()?, &copy)?;
        let mut file = OpenOptions::new().append(true).open(&copy)?;
        file.write_all(b"another build")?;
        drop(file);
        shim::install_shim(host, &copy)?;
        Ok(Self(host))
    }

    fn remove(self) -> Result<()> {
        shim::install_shim(self.0, &shim::binary()?)
    }
}

/// The file of which the container's shim runs, as the kernel names it.
fn exe_of_shim(host: &Host) -> Result<String> {
    let pid = shim_pid(host, ID)?;
    let exe = host.command("readlink").arg(format!("/proc/{pid}/exe"));
    let exe = exe.check().context("the shim is gone")?;
    Ok(exe.text().into_owned())
}

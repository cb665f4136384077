//! What the user tells CRIU in a configuration file counts under our shim, too.

use anyhow::{Result, ensure};
use remap_test::Runtime;
use remap_test::ctr::Status;

use crate::context::Context;
use crate::criu_conf::CriuConf;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("user_conf::by_annotation", by_annotation).runtimes(REMAP),
    Scenario::new("user_conf::by_default", by_default).runtimes(&[Runtime::Remap, Runtime::DropIn]),
];

const REMAP: &[Runtime] = &[Runtime::Remap];

const IMAGE: &str = "remap.test/user-conf:1";

/// The file that the annotation names.
fn by_annotation(context: &Context) -> Result<()> {
    let script = Script::install(context)?;
    let path = format!("{}/criu.conf", script.dir);
    context.a().write_file(&path, script.conf())?;
    // Were this one used, the dump would fail.
    let _conf = CriuConf::write(context.a(), "action-script /bin/false\n")?;
    check(context, &script, Some(&path))?;
    let now = context.a().read_file(&path)?;
    ensure!(now == script.conf().as_bytes(), "{path} was changed");
    Ok(())
}

/// The one that runc takes without an annotation.
fn by_default(context: &Context) -> Result<()> {
    let script = Script::install(context)?;
    let _conf = CriuConf::write(context.a(), &script.conf())?;
    check(context, &script, None)
}

/// The user's script is called at dump and restore, and its veto counts.
fn check(context: &Context, script: &Script, annotation: Option<&str>) -> Result<()> {
    let ctr = context.ctr();
    let shm = Shm::mount(context.a(), ID)?;
    let workload =
        Workload::start_by(context, &shm, "sem-creator-first", |run| match annotation {
            Some(path) => run.annotation("org.criu.config", path),
            None => run,
        })?;
    let before = workload.probe(&ctr)?;
    let names = shm.names()?;

    script.veto("post-dump")?;
    ensure!(
        ctr.clone()
            .without_plan("the user's action script forbids the dump")
            .checkpoint(ID, IMAGE)
            .is_err(),
        "the script has forbidden the dump, which succeeds"
    );
    ctr.wait_for(ID, &Status::Running, LIMIT)?;
    workload.expect_same(&ctr, &before)?;
    shm.expect_names(&names)?;

    script.veto("")?;
    ctr.checkpoint(ID, IMAGE)?;
    script.expect_stage("post-dump")?;
    ctr.remove(ID)?;
    shm.clear()?;
    ctr.restore(ID, IMAGE)?;
    script.expect_stage("post-restore")?;
    workload.expect_same(&ctr, &before)?;
    ctr.remove(ID)?;
    ctr.remove_image(IMAGE)
}

/// An action script of the user's on host a, which notes each stage.
struct Script<'c> {
    context: &'c Context<'c>,
    dir: String,
}

impl<'c> Script<'c> {
    fn install(context: &'c Context<'c>) -> Result<Self> {
        let dir = context.dir()?;
        let text = format!(
            "#!/bin/sh\n\
             echo \"$CRTOOLS_SCRIPT_ACTION\" >>{dir}/stages\n\
             ! grep -qx \"$CRTOOLS_SCRIPT_ACTION\" {dir}/veto\n"
        );
        let script = format!("{dir}/script");
        context.a().write_file(&script, text)?;
        context
            .a()
            .command("chmod")
            .args(["755", &script])
            .check()?;
        Ok(Self { context, dir })
    }

    fn conf(&self) -> String {
        format!("tcp-established\naction-script {}/script\n", self.dir)
    }

    /// Has it fail in `stage`; in no other.
    fn veto(&self, stage: &str) -> Result<()> {
        let host = self.context.a();
        host.write_file(&format!("{}/stages", self.dir), "")?;
        host.write_file(&format!("{}/veto", self.dir), format!("{stage}\n"))
    }

    fn expect_stage(&self, stage: &str) -> Result<()> {
        let stages = self
            .context
            .a()
            .read_file(&format!("{}/stages", self.dir))?;
        let stages = String::from_utf8_lossy(&stages);
        ensure!(
            stages.lines().any(|line| line == stage),
            "the user's script was not called in {stage} but in {stages:?}"
        );
        Ok(())
    }
}

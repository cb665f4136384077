//! What a checkpoint and a restore took: in the manifest, from `remapctl`, and for a monitoring
//! system.

use anyhow::{Context as _, Result, ensure};
use remap_test::shim::Api;
use remap_test::{GoProgram, Host, Runtime, wait};
use serde_json::Value;

use crate::context::Context;
use crate::migration;
use crate::scenario::Scenario;
use crate::shm::Shm;
use crate::workload::{ID, LIMIT, Workload};

/// See [`crate::SCENARIOS`]. `ctr` 1.7 lets the directory of a checkpoint be chosen only under the
/// stock shim's name.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("metrics::told", told).runtimes(&[Runtime::DropIn]),
    Scenario::new("metrics::collected", collected)
        .runtimes(&[Runtime::DropIn])
        .full(),
];

/// The directory for node_exporter.
const DIRECTORY: &str = "/run/containerd-shim-remap-metrics";

/// The figures of a host by their names.
fn figure(host: &Host, name: &str) -> Result<f64> {
    let text = host.shell(&format!("cat {DIRECTORY}/remap.prom || true"))?;
    let text = text.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(Ok(0.0), |value| value.trim().parse().context("no figure"))
}

/// The shim adds to a figure when it has answered.
fn expect_figure(host: &Host, name: &str, least: f64) -> Result<()> {
    let is_there = wait::until(LIMIT, || Ok(figure(host, name)? >= least))?;
    ensure!(is_there, "{name} is below {least}");
    Ok(())
}

fn remapctl(host: &Host, options: &[&str]) -> Result<String> {
    let command = host.command("remapctl").arg("metrics");
    Ok(command.args(options).arg(ID).check()?.text().into_owned())
}

fn told(context: &Context) -> Result<()> {
    const COMPLETED: &str = "remap_checkpoint_completed_total{namespace=\"default\"}";
    const REFUSED: &str =
        "remap_checkpoint_failures_total{namespace=\"default\",phase=\"prepare\"}";
    const RESTORED: &str = "remap_restore_completed_total{namespace=\"default\"}";
    let (a, b) = (context.ctr(), context.ctr_on_b());
    let dir = context.dir()?;
    let [images, paused, work] = ["images", "paused", "work"].map(|name| format!("{dir}/{name}"));
    let a_shm = Shm::mount(context.a(), ID)?;
    let b_shm = Shm::mount(context.b(), ID)?;
    let workload = Workload::start(context, &a_shm, "sem-creator-first")?;
    let before = workload.probe(&a)?;
    let text = remapctl(context.a(), &[])?;
    ensure!(text.contains("no checkpoint was completed"), "{text}");
    let completed = figure(context.a(), COMPLETED)?;
    let refused = figure(context.a(), REFUSED)?;

    // A client that has not paused the container: the shim does, and is done when CRIU is.
    Api::connect(context.a(), ID)?.checkpoint(&images, &work, false)?;
    let manifest = format!("{images}/remap-manifest.json");
    let manifest: Value = serde_json::from_slice(&context.a().read_file(&manifest)?)?;
    expect_took(&manifest["took"], &["scan", "dump", "capture", "thaw"])?;
    expect_pages(&manifest["took"], "dump", "pages_written")?;
    expect_stats(context.a(), &images)?;
    let took = &json(context.a())?["checkpoint"];
    expect_took(took, &["freeze", "scan", "dump", "capture", "thaw", "seal"])?;
    expect_pages(took, "dump", "pages_written")?;
    ensure!(took["stood_still_us"].as_u64() > Some(0), "{took}");
    let text = remapctl(context.a(), &[])?;
    for part in ["last checkpoint, begun", "stood still", "CRIU: freezing"] {
        ensure!(text.contains(part), "{text}");
    }

    // One that has: the manifest is written while CRIU ends, and its figures come after that.
    a.checkpoint_task(ID, &paused, &work, false)?;
    expect_stats(context.a(), &paused)?;
    let took = &json(context.a())?["checkpoint"];
    expect_took(took, &["freeze", "scan", "dump", "capture", "seal"])?;
    expect_pages(took, "dump", "pages_written")?;

    // The same directory once more is refused, and counted.
    let unplanned = context
        .ctr()
        .without_plan("the image directory holds a checkpoint already");
    let again = unplanned.checkpoint_task(ID, &paused, &work, false);
    ensure!(again.is_err(), "two checkpoints in one directory");
    expect_figure(context.a(), COMPLETED, completed + 2.0)?;
    expect_figure(context.a(), REFUSED, refused + 1.0)?;

    let restored = figure(context.b(), RESTORED)?;
    migration::move_container(context, &dir, (&a, &a_shm), (&b, &b_shm))?;
    workload.expect_same(&b, &before)?;
    expect_figure(context.b(), RESTORED, restored + 1.0)?;
    let took = &json(context.b())?["restore"];
    expect_took(took, &["verify", "fit", "populate", "restore", "commit"])?;
    expect_pages(took, "restore", "pages_restored")?;
    b.remove(ID)
}

fn json(host: &Host) -> Result<Value> {
    Ok(serde_json::from_str(&remapctl(host, &["--json"])?)?)
}

/// CRIU's own file of figures is beside the images.
fn expect_stats(host: &Host, images: &str) -> Result<()> {
    let stats = host.shell(&format!("stat -c '%a %s' {images}/stats-dump"))?;
    ensure!(stats.text().starts_with("600 "), "{stats:?}");
    Ok(())
}

/// CRIU has counted pages.
fn expect_pages(took: &Value, operation: &str, pages: &str) -> Result<()> {
    let counted = took["criu"][operation][pages].as_u64();
    ensure!(counted > Some(0), "no {pages} in {took}");
    Ok(())
}

/// The phases have their times, and there is memory.
fn expect_took(took: &Value, phases: &[&str]) -> Result<()> {
    for phase in phases {
        ensure!(took["phases_us"][phase].is_u64(), "no {phase} in {took}");
    }
    ensure!(took["memory_bytes"].as_u64() > Some(0), "{took}");
    ensure!(took["carried_bytes"].as_u64() > Some(0), "{took}");
    Ok(())
}

/// node_exporter takes the file.
fn collected(context: &Context) -> Result<()> {
    const EXPORTER: &str = "/srv/node_exporter";
    let program = GoProgram::NodeExporter.prepare()?;
    let (ctr, host) = (context.ctr(), context.a());
    let dir = context.dir()?;
    let shm = Shm::mount(host, ID)?;
    Workload::start(context, &shm, "sem-creator-first")?;
    ctr.checkpoint_task(ID, &format!("{dir}/images"), &format!("{dir}/work"), false)?;
    ctr.remove(ID)?;
    host.install_file(&program, EXPORTER.as_ref(), 0o755)?;
    host.shell(&format!(
        "ip link set lo up
        setpriv --reuid=65534 --regid=65534 --clear-groups {EXPORTER} --collector.disable-defaults \
            --collector.textfile --collector.textfile.directory={DIRECTORY} \
            --web.listen-address=127.0.0.1:9100 >{dir}/exporter.log 2>&1 & echo $! >{dir}/exporter.pid"
    ))?;
    let ask = "exec 3<>/dev/tcp/127.0.0.1/9100 && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";
    let mut answer = String::new();
    let answers = wait::until(LIMIT, || {
        let output = host.command("bash").args(["-c", ask]).run()?;
        answer = output.text().into_owned();
        Ok(answer.contains("remap_checkpoint_completed_total"))
    });
    host.shell(&format!("kill $(cat {dir}/exporter.pid)"))?;
    ensure!(answers?, "{answer}");
    for part in [
        "remap_checkpoint_phase_seconds_total{namespace=\"default\",phase=\"dump\"}",
        "node_textfile_scrape_error 0",
    ] {
        ensure!(answer.contains(part), "no {part} in {answer}");
    }
    Ok(())
}

//! `remapctl install` and `uninstall`, on a host where containers run.

mod cri;
mod refusals;

use anyhow::{Result, ensure};
use remap_test::{Host, Runtime};

use crate::context::Context;
use crate::fresh::{BUILD, Fresh, PATH};
use crate::scenario::Scenario;

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("install::drop_in", drop_in).runtimes(REMAP),
    Scenario::new("install::side_by_side", side_by_side).runtimes(REMAP),
    Scenario::new("install::cri", cri::cri).runtimes(REMAP),
    Scenario::new("install::upgrade", upgrade).runtimes(REMAP),
    Scenario::new("install::in_the_way", refusals::in_the_way).runtimes(REMAP),
    Scenario::new("install::taken_back", refusals::taken_back).runtimes(REMAP),
];

/// They start hosts of their own.
const REMAP: &[Runtime] = &[Runtime::Remap];

const LINK: &str = "/usr/local/sbin/containerd-shim-runc-v2";
const STOCK: &str = "/usr/bin/containerd-shim-runc-v2";
const HOME: &str = "/usr/local/bin/containerd-shim-remap-v2";
const KEPT: &str = "/var/lib/containerd-shim-remap/kept/containerd-shim-remap-v2";

fn target(host: &Host, link: &str) -> Result<String> {
    Ok(host
        .command("readlink")
        .arg(link)
        .check()?
        .text()
        .into_owned())
}

/// In, out and all gone, with containers of either shim that run on through two restarts of containerd.
fn drop_in(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    let before = fresh.files()?;
    fresh.run("stock-before", Runtime::DropIn)?;

    // Shown, and not done.
    let shown = [LINK, HOME, "--yes does it"];
    fresh.expect("install", 1, &shown)?;
    ensure!(
        fresh.files()? == before,
        "something was changed without a yes"
    );
    fresh.expect("install --yes", 0, &[LINK, "restart containerd"])?;
    fresh.expect("install --yes", 0, &["as it should be", "it is installed"])?;
    fresh.expect("doctor", 0, &["this project's"])?;
    fresh.restart_containerd()?;
    fresh.run("ours", Runtime::DropIn)?;
    ensure!(fresh.noted_shim("ours")? == LINK, "it is another shim's");
    fresh.expect_checkpoint("ours")?;

    // containerd goes on with the name that it remembers, which is the stock shim's by now.
    let parts = [
        "1 container of this shim runs on",
        "as long as containerd runs",
    ];
    fresh.expect("uninstall --yes", 0, &parts)?;
    ensure!(
        target(host, LINK)? == STOCK,
        "the link leads to {}",
        target(host, LINK)?
    );
    fresh.run("stock-meanwhile", Runtime::DropIn)?;
    fresh.expect("uninstall --yes", 0, &["as long as containerd runs"])?;
    fresh.expect_checkpoint("ours")?;

    // A restarted one may have looked at once.
    fresh.restart_containerd()?;
    fresh.expect("uninstall --yes", 0, &["as long as containerd runs"])?;
    fresh.run("stock-still", Runtime::DropIn)?;
    fresh.stop_containerd()?;
    fresh.expect("uninstall --yes", 0, &["it is uninstalled"])?;
    fresh.expect("uninstall --yes", 0, &["nothing is installed"])?;
    ensure!(
        fresh.noted_shim("ours")? == KEPT,
        "{}",
        fresh.noted_shim("ours")?
    );
    ensure!(
        fresh.noted_shim("stock-meanwhile")? == STOCK,
        "it has no shim"
    );
    fresh.start_containerd(PATH)?;
    for id in ["stock-before", "ours", "stock-meanwhile", "stock-still"] {
        fresh.expect_running(id)?;
    }
    fresh.expect_checkpoint("ours")?;
    fresh.run("stock-after", Runtime::DropIn)?;
    ensure!(
        fresh.noted_shim("stock-after")? == STOCK,
        "it is ours still"
    );

    // If its shim dies now, it is the copy that clears up.
    let pid = host.shell("pgrep -f 'id[ ]ours'")?;
    host.command("kill").args(["-KILL", &pid.text()]).check()?;
    let is_gone = || {
        Ok(fresh.ctr().task("ours")?.is_none_or(|task| task.pid == 0)
            && host
                .shell("pgrep -f 'id[ ]ours' || true")?
                .text()
                .is_empty())
    };
    ensure!(
        remap_test::wait::until(crate::workload::LIMIT, is_gone)?,
        "the container is not cleared up"
    );
    fresh.expect("prune", 0, &[])?;
    for id in [
        "stock-before",
        "ours",
        "stock-meanwhile",
        "stock-still",
        "stock-after",
    ] {
        fresh.ctr().remove(id)?;
    }
    fresh.expect("prune --yes", 0, &["removed", KEPT])?;
    let after = fresh.files()?;
    ensure!(
        after == before,
        "not as it was:\n{}",
        difference(&before, &after)
    );
    fresh.host.stop()
}

fn difference(before: &str, after: &str) -> String {
    let new = after
        .lines()
        .filter(|line| !before.lines().any(|old| old == *line));
    let gone = before
        .lines()
        .filter(|line| !after.lines().any(|new| new == *line));
    let lines: Vec<String> = new
        .map(|line| format!("+ {line}"))
        .chain(gone.map(|line| format!("- {line}")))
        .collect();
    lines.join("\n")
}

/// Under its own name, beside the stock one.
fn side_by_side(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let before = fresh.files()?;
    ensure!(
        fresh.run("early", Runtime::Remap).is_err(),
        "it is there already"
    );
    fresh.ctr().remove("early")?;
    fresh.expect(
        "install --as side-by-side --yes",
        0,
        &[HOME, "new containers have it"],
    )?;
    fresh.run("ours", Runtime::Remap)?;
    fresh.run("stock", Runtime::DropIn)?;
    ensure!(
        fresh.noted_shim("ours")? == HOME && fresh.noted_shim("stock")? == STOCK,
        "wrong shims"
    );
    fresh.expect(
        "install --as drop-in --yes",
        1,
        &["installed as side-by-side", "uninstall"],
    )?;
    fresh.expect(
        "uninstall --yes",
        0,
        &["1 container of this shim runs on", "it is uninstalled"],
    )?;
    fresh.restart_containerd()?;
    fresh.expect_running("ours")?;
    fresh.expect_running("stock")?;
    ensure!(
        fresh.run("late", Runtime::Remap).is_err(),
        "it is still there"
    );
    for id in ["ours", "stock", "late"] {
        fresh.ctr().remove(id)?;
    }
    fresh.expect("prune --yes", 0, &[KEPT])?;
    let after = fresh.files()?;
    ensure!(
        after == before,
        "not as it was:\n{}",
        difference(&before, &after)
    );
    fresh.host.stop()
}

/// Another build comes by the same command; the container that runs keeps its own until it is restored.
fn upgrade(context: &Context) -> Result<()> {
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    fresh.expect("install --yes", 0, &[])?;
    fresh.restart_containerd()?;
    fresh.run("ours", Runtime::DropIn)?;
    host.shell(&format!(
        "echo another build >>{BUILD}/containerd-shim-remap-v2"
    ))?;
    fresh.expect("install --yes", 0, &["copy", "new containers have it"])?;
    host.shell(&format!("cmp {BUILD}/containerd-shim-remap-v2 {HOME}"))?;
    let exe = host.shell("readlink /proc/$(pgrep -f 'id[ ]ours')/exe")?;
    ensure!(exe.text().ends_with(" (deleted)"), "{exe:?}");
    fresh.expect_checkpoint("ours")?;
    fresh.restart_containerd()?;
    fresh.expect_checkpoint("ours")?;
    fresh.ctr().remove("ours")?;
    fresh.run("new", Runtime::DropIn)?;
    fresh.expect_checkpoint("new")?;
    fresh.host.stop()
}

//! The Debian package: installed on a fresh host, upgraded and removed while containers run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use remap_test::{Host, Runtime, cache, shim};

use crate::context::Context;
use crate::fresh::{Fresh, PATH};
use crate::scenario::{Scenario, skip};

/// See [`crate::SCENARIOS`].
pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new("package::life", life)
    .runtimes(&[Runtime::Remap])
    .full()];

/// What `test/run --full` has built.
const CARGO_DEB: &str = "cargo-deb-3.8.0/bin";

const LINK: &str = "/usr/local/sbin/containerd-shim-runc-v2";
const SHIM: &str = "/usr/bin/containerd-shim-remap-v2";

fn life(context: &Context) -> Result<()> {
    let tool = cache::dir().join(CARGO_DEB);
    if !tool.join("cargo-deb").exists() {
        return skip("there is no cargo-deb; `test/run --full` builds it");
    }
    let [old, new] = packages(&tool)?;
    let fresh = Fresh::start(context)?;
    let host = &fresh.host;
    host.shell("rm -r /srv/build")?;

    // dpkg holds its dependencies against what is there.
    dpkg(host, old, "old")?;
    let lines = host.shell("remapctl doctor && remapctl install --yes")?;
    let text = lines.text();
    for part in [
        "this host is able",
        LINK,
        "it is installed; restart containerd",
    ] {
        ensure!(text.contains(part), "no {part:?} in {text}");
    }
    ensure!(
        !text.contains("copy"),
        "the package's shim is copied: {text}"
    );
    fresh.restart_containerd()?;
    host.shell("remapctl doctor | grep -q \"finds this project's shim\"")?;
    fresh.run("ours", Runtime::DropIn)?;
    fresh.run("beside", Runtime::Remap)?;
    for id in ["ours", "beside"] {
        checkpoint(&fresh, id)?;
    }
    // The trees of the tests leave man pages out.
    host.shell(
        "dpkg-deb --fsys-tarfile /srv/old.deb >/srv/old.tar && cd /srv && \
         tar -xOf old.tar ./usr/share/man/man1/remapctl-doctor.1.gz | zcat | grep -q 'Exit codes' && \
         tar -xOf old.tar ./usr/share/doc/containerd-shim-remap/copyright | grep -q 'Apache License' && \
         bash -c '. /usr/share/bash-completion/completions/remapctl && complete -p remapctl'",
    )?;

    dpkg(host, new, "new")?;
    for id in ["ours", "beside"] {
        let exe = host.shell(&format!("readlink /proc/$(pgrep -f 'id[ ]{id}')/exe"))?;
        ensure!(exe.text() == format!("{SHIM} (deleted)"), "{exe:?}");
        checkpoint(&fresh, id)?;
    }
    ensure!(
        host.shell(&format!("readlink {LINK}"))?.text() == SHIM,
        "the link is gone"
    );
    fresh.restart_containerd()?;
    for id in ["ours", "beside"] {
        checkpoint(&fresh, id)?;
    }

    let said = host.shell("dpkg --purge containerd-shim-remap")?;
    let text = said.text();
    ensure!(text.contains("of this shim run on"), "{text}");
    host.shell(&format!("test ! -e {SHIM} && test ! -e /usr/bin/remapctl"))?;
    fresh.run("stock", Runtime::DropIn)?;
    for _ in 0..2 {
        for id in ["ours", "beside"] {
            checkpoint(&fresh, id)?;
        }
        fresh.expect_running("stock")?;
        fresh.restart_containerd()?;
    }
    for id in ["ours", "beside", "stock"] {
        fresh.ctr().remove(id)?;
    }
    fresh.run("later", Runtime::DropIn)?;
    fresh.ctr().remove("later")?;

    // Once more, over what the removal had to leave, and then all of it goes.
    dpkg(host, new, "new")?;
    host.shell("remapctl install --yes")?;
    fresh.restart_containerd()?;
    fresh.run("again", Runtime::DropIn)?;
    checkpoint(&fresh, "again")?;
    fresh.ctr().remove("again")?;
    fresh.stop_containerd()?;
    host.shell(
        "remapctl uninstall --yes && remapctl prune --yes && dpkg --purge containerd-shim-remap",
    )?;
    host.shell(&format!(
        "test ! -e {LINK} && test ! -L {LINK} && test ! -e /var/lib/containerd-shim-remap"
    ))?;
    fresh.start_containerd(PATH)?;
    fresh.run("last", Runtime::DropIn)?;
    fresh.ctr().remove("last")?;
    fresh.host.stop()
}

/// As [`Fresh::expect_checkpoint`], of a container of either name: containerd 1.7 takes a directory for
/// the stock shim's only.
fn checkpoint(fresh: &Fresh, id: &str) -> Result<()> {
    let image = format!("remap.test/{id}:1");
    let ctr = fresh.ctr();
    ctr.command(["container", "checkpoint", "--task", id, &image])
        .check()?;
    ctr.remove_image(&image)?;
    fresh.expect_running(id)
}

/// The package, and a newer one, made once for all flavours.
fn packages(tool: &Path) -> Result<&'static [PathBuf; 2]> {
    static PACKAGES: Mutex<Option<&[PathBuf; 2]>> = Mutex::new(None);
    let mut packages = PACKAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(packages) = *packages {
        return Ok(packages);
    }
    let made = Box::leak(Box::new([make(tool, "0.1.0-1")?, make(tool, "0.1.0-2")?]));
    *packages = Some(made);
    Ok(made)
}

/// Packs what was built, as a package of this version.
fn make(tool: &Path, version: &str) -> Result<PathBuf> {
    let built = shim::binary()?;
    let profile = if built.parent().is_some_and(|dir| dir.ends_with("release")) {
        "release"
    } else {
        "dev"
    };
    let package = cache::dir().join(format!("package-{version}.deb"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::env::split_paths(&path).chain([tool.to_owned()]))?;
    let output = Command::new("../shim/package")
        .args([
            profile,
            "--no-build",
            "--fast",
            "--deb-version",
            version,
            "--output",
        ])
        .arg(&package)
        .env("PATH", path)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot run shim/package")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "shim/package: {said}");
    Ok(package)
}

fn dpkg(host: &Host, package: &Path, name: &str) -> Result<()> {
    let path = format!("/srv/{name}.deb");
    host.install_file(package, path.as_ref(), 0o644)?;
    host.command("dpkg").args(["--install", &path]).check()?;
    Ok(())
}

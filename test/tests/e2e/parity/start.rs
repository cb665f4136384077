//! The actions of the binary, and the end of a shim.

use anyhow::{Context as _, Result};
use serde_json::json;

use remap_test::Flavour;

use super::run::Run;
use super::shim::address;
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::start::twice", twice),
    Case::new("parity::start::group", group),
    Case::new("parity::start::no_config", no_config),
    Case::new("parity::start::version", version),
    Case::new("parity::start::unknown_action", unknown_action),
    Case::new("parity::start::unused", unused),
    Case::new("parity::start::socket", socket),
    Case::new("parity::start::stale_socket", stale_socket),
    Case::new("parity::start::delete_of_nothing", delete_of_nothing).better(&[Better {
        labels: &["status"],
        on: &[Flavour::Trixie],
        reason: "the stock shim of containerd 1.7 wants a file that only a create makes",
    }]),
    Case::new("parity::start::delete_after_kill", delete_after_kill),
    Case::new("parity::start::shutdown_in_use", shutdown_in_use),
    Case::new("parity::start::shutdown_now_in_use", shutdown_now_in_use),
    Case::new("parity::start::files", files),
];

/// The second start finds the first one's shim.
fn twice(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    let again = run.shim.action(&[], "start", b"")?;
    run.notes
        .add("code of the second", again.exit_code().to_string());
    run.notes.add("shims", run.shim.pids()?.len().to_string());
    Ok(())
}

fn group(run: &mut Run) -> Result<()> {
    run.shim.edit_spec(|spec| {
        spec["annotations"] = json!({ "io.kubernetes.cri.sandbox-id": "pod" });
    })?;
    let one = run.shim.action(&[], "start", b"")?;
    let other = run.shim.action(&["-id", "other"], "start", b"")?;
    let is_same = address(&one)? == address(&other)?;
    run.notes.add("one address", is_same.to_string());
    run.shim.connect(&address(&one)?)?;
    let _ = run.create();
    Ok(())
}

fn no_config(run: &mut Run) -> Result<()> {
    let path = format!("{}/config.json", run.shim.bundle());
    run.shim
        .host()
        .command("mv")
        .args([&path, "/srv/parity-config"])
        .check()?;
    let output = run.shim.action(&[], "start", b"")?;
    run.notes
        .add("fails", (output.exit_code() != 0).to_string());
    run.shim
        .host()
        .command("mv")
        .args(["/srv/parity-config", &path])
        .check()?;
    Ok(())
}

fn version(run: &mut Run) -> Result<()> {
    let output = run.shim.action(&["-v"], "", b"")?;
    run.notes.add("code", output.exit_code().to_string());
    Ok(())
}

fn unknown_action(run: &mut Run) -> Result<()> {
    let output = run.shim.action(&[], "dance", b"")?;
    run.notes
        .add("fails", (output.exit_code() != 0).to_string());
    run.shim.kill()?;
    Ok(())
}

/// One that was never used can be told to end.
fn unused(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    let _ = run.state("");
    let _ = run.pids();
    let _ = run.shutdown(false);
    run.notes.add("ends", run.shim.has_ended()?.to_string());
    Ok(())
}

fn sockets(run: &Run) -> Result<usize> {
    let output = run.shim.host().shell("ls /run/containerd/s | wc -l")?;
    output.text().trim().parse().context("no number")
}

/// It is there as long as the shim is.
fn socket(run: &mut Run) -> Result<()> {
    let before = sockets(run)?;
    run.shim.start(b"")?;
    run.notes
        .add("started", (sockets(run)? - before).to_string());
    let _ = run.shutdown(false);
    run.shim.has_ended()?;
    let after = sockets(run)?.saturating_sub(before);
    run.notes.add("ended", after.to_string());
    Ok(())
}

/// A shim that was killed has left its socket.
fn stale_socket(run: &mut Run) -> Result<()> {
    run.shim.start(b"")?;
    run.shim.kill()?;
    run.running("exit 2")?;
    run.finish();
    Ok(())
}

fn delete_of_nothing(run: &mut Run) -> Result<()> {
    let answer = run.shim.delete_action();
    let status = answer.map_or_else(
        |_| "none".to_owned(),
        |answer| answer.exit_status.to_string(),
    );
    run.notes.add("status", status);
    Ok(())
}

/// What containerd does when a shim has died.
fn delete_after_kill(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.shim.kill()?;
    let answer = run.shim.delete_action()?;
    run.notes.add("status", answer.exit_status.to_string());
    run.notes.add("time", super::notes::time(&answer.exited_at));
    let mounted = run.shim.host().shell("grep -c parity /proc/mounts; true")?;
    run.notes.add("mounts", mounted.text().into_owned());
    Ok(())
}

fn shutdown_in_use(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let answer = run.shutdown(false);
    run.notes.answer("shutdown", &answer, |_, _| String::new());
    let _ = run.state("");
    Ok(())
}

fn shutdown_now_in_use(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let answer = run.shutdown(true);
    run.notes.answer("shutdown", &answer, |_, _| String::new());
    let _ = run.state("");
    Ok(())
}

/// What containerd reads in the bundle.
fn files(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let bundle = run.shim.bundle();
    for name in ["init.pid", "options.json"] {
        let there = run.shim.host().path(format!("{bundle}/{name}")).exists();
        run.notes.add(name, there.to_string());
    }
    Ok(())
}

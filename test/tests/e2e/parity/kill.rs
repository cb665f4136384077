//! Signals.

use std::time::Duration;

use anyhow::Result;

use remap_test::Flavour;

use super::run::Run;
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::kill::kill", |run| of_running(run, 9)),
    Case::new("parity::kill::term_ignored", term_ignored),
    Case::new("parity::kill::term_handled", |run| handled(run, "TERM", 15)),
    Case::new("parity::kill::hup_handled", |run| handled(run, "HUP", 1)),
    Case::new("parity::kill::usr2_handled", |run| handled(run, "USR2", 12)),
    Case::new("parity::kill::real_time", |run| handled(run, "35", 35)),
    Case::new("parity::kill::highest", |run| handled(run, "64", 64)),
    Case::new("parity::kill::nothing", nothing),
    Case::new("parity::kill::no_signal", no_signal).better(&[Better {
        labels: &["kill 65", "kill 4096", "kill 4294967295"],
        on: &Flavour::ALL,
        reason: "InvalidArgument says that it is the caller's",
    }]),
    Case::new("parity::kill::created", created),
    Case::new("parity::kill::ended", ended),
    Case::new("parity::kill::deleted", deleted),
    Case::new("parity::kill::all", all),
    Case::new("parity::kill::exec", exec),
    Case::new("parity::kill::exec_real_time", exec_real_time),
    Case::new("parity::kill::exec_ended", exec_ended),
    Case::new("parity::kill::exec_not_started", exec_not_started),
    Case::new("parity::kill::with_exec", with_exec),
];

fn of_running(run: &mut Run, signal: u32) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.kill("", signal);
    run.finish();
    Ok(())
}

/// The first process of a pid namespace gets only what it handles.
fn term_ignored(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.kill("", 15);
    std::thread::sleep(Duration::from_millis(200));
    let _ = run.state("");
    Ok(())
}

fn handled(run: &mut Run, name: &str, signal: u32) -> Result<()> {
    let line = format!("trap 'exit 18' {name}; while :; do sleep 0.1; done");
    run.running(&line)?;
    std::thread::sleep(Duration::from_millis(500));
    let _ = run.kill("", signal);
    run.finish();
    Ok(())
}

/// Signal 0 is no signal, and asks whether there is somebody.
fn nothing(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.kill("", 0);
    let _ = run.state("");
    Ok(())
}

fn no_signal(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    for signal in [65, 4096, u32::MAX] {
        let _ = run.kill("", signal);
    }
    let _ = run.state("");
    Ok(())
}

fn created(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    let _ = run.kill("", 9);
    run.finish();
    Ok(())
}

fn ended(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    let _ = run.wait("");
    let _ = run.kill("", 9);
    let _ = run.kill_all("", 9, true);
    let _ = run.delete("");
    Ok(())
}

fn deleted(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    run.finish();
    let _ = run.kill("", 9);
    Ok(())
}

fn all(run: &mut Run) -> Result<()> {
    run.running("sleep 600 & sleep 600 & wait")?;
    let _ = run.kill_all("", 9, true);
    run.finish();
    Ok(())
}

fn exec(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.kill("e", 15);
    run.finish_exec("e");
    let _ = run.state("");
    Ok(())
}

fn exec_real_time(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.kill("e", 36);
    run.finish_exec("e");
    Ok(())
}

fn exec_ended(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exit 19");
    let _ = run.wait("e");
    let _ = run.kill("e", 9);
    let _ = run.delete("e");
    let _ = run.kill("e", 9);
    Ok(())
}

fn exec_not_started(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.exec("e", "exit 19");
    let _ = run.kill("e", 9);
    let _ = run.state("e");
    let _ = run.delete("e");
    Ok(())
}

/// The exit of the init is told last.
fn with_exec(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    run.start_exec("e", "exec sleep 600");
    let _ = run.kill("", 9);
    let _ = run.wait("");
    run.finish_exec("e");
    let _ = run.delete("");
    Ok(())
}

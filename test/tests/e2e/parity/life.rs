//! The states of a container, from its start to its deletion.

use std::time::Duration;

use anyhow::Result;

use remap_test::Flavour;

use super::run::Run;
use super::{Better, Case};

/// See [`super::CASES`].
pub(super) const CASES: &[Case] = &[
    Case::new("parity::life::exit_0", |run| ends(run, "exit 0")),
    Case::new("parity::life::exit_255", |run| ends(run, "exit 255")),
    Case::new("parity::life::by_signal", |run| {
        ends(
            run,
            "kill -TERM $$; trap 'exit 9' TERM; kill -TERM $$; sleep 9",
        )
    }),
    Case::new("parity::life::background_child", |run| {
        ends(run, "sleep 600 & exit 11")
    }),
    Case::new("parity::life::running", running),
    Case::new("parity::life::start_twice", start_twice),
    Case::new("parity::life::start_after_end", start_after_end),
    Case::new("parity::life::delete_running", delete_running),
    Case::new("parity::life::delete_created", delete_created).better(&[Better {
        labels: &["delete", "events"],
        on: &Flavour::ALL,
        reason: "the end of its process is told, and before the deletion",
    }]),
    Case::new("parity::life::delete_twice", delete_twice),
    Case::new("parity::life::ended", ended).better(&[Better {
        labels: &["pids"],
        on: &Flavour::ALL,
        reason: "a containerd that restarts takes an empty answer for a shim that was left over, and ends it",
    }]),
    Case::new("parity::life::wait_twice", wait_twice),
    Case::new("parity::life::orphans", orphans),
    Case::new("parity::life::host_pid_namespace", host_pid_namespace),
    Case::new("parity::life::pause", pause),
    Case::new("parity::life::pause_twice", pause_twice),
    Case::new("parity::life::resume_running", resume_running),
    Case::new("parity::life::pause_created", pause_created),
    Case::new("parity::life::pause_ended", pause_ended),
    Case::new("parity::life::delete_paused", delete_paused),
    Case::new("parity::life::kill_paused", kill_paused),
    Case::new("parity::life::exec_in_paused", exec_in_paused),
];

fn ends(run: &mut Run, line: &str) -> Result<()> {
    run.running(line)?;
    let _ = run.wait("");
    let _ = run.state("");
    let _ = run.delete("");
    Ok(())
}

fn running(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.state("");
    let _ = run.connect();
    let _ = run.pids();
    let _ = run.kill("", 9);
    run.finish();
    let _ = run.state("");
    let _ = run.connect();
    Ok(())
}

fn start_twice(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.start("");
    let _ = run.state("");
    Ok(())
}

fn start_after_end(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    let _ = run.wait("");
    let _ = run.start("");
    Ok(())
}

fn delete_running(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.delete("");
    let _ = run.state("");
    Ok(())
}

fn delete_created(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    let _ = run.delete("");
    let _ = run.state("");
    Ok(())
}

fn delete_twice(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    run.finish();
    let _ = run.delete("");
    Ok(())
}

/// What is answered about one that has ended and was not deleted.
fn ended(run: &mut Run) -> Result<()> {
    run.running("exit 12")?;
    let _ = run.wait("");
    let _ = run.state("");
    let _ = run.connect();
    let _ = run.pids();
    let _ = run.stats();
    let _ = run.kill("", 15);
    let _ = run.pause();
    let _ = run.resume();
    let _ = run.exec("e", "true");
    let _ = run.delete("");
    Ok(())
}

fn wait_twice(run: &mut Run) -> Result<()> {
    run.running("exit 13")?;
    let _ = run.wait("");
    let _ = run.wait("");
    let _ = run.delete("");
    let _ = run.wait("");
    Ok(())
}

/// What the init leaves behind in its pid namespace ends with it, and is nobody's exit.
fn orphans(run: &mut Run) -> Result<()> {
    run.running("(sleep 0.1 & ) ; (sleep 600 & ); sleep 0.5; exit 14")?;
    run.finish();
    Ok(())
}

/// Without a pid namespace the shim ends what is left.
fn host_pid_namespace(run: &mut Run) -> Result<()> {
    run.shim.edit_spec(|spec| {
        if let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|one| one["type"] != "pid");
        }
    })?;
    run.running("sleep 4321 & sleep 0.3; exit 15")?;
    run.finish();
    std::thread::sleep(Duration::from_millis(300));
    let left = run.shim.host().shell("pgrep -fx 'sleep 4321' | wc -l")?;
    run.notes.add("left", left.text().into_owned());
    run.shim
        .host()
        .shell("for p in $(pgrep -fx 'sleep 4321'); do kill -9 $p; done")?;
    Ok(())
}

fn pause(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.pause();
    let _ = run.state("");
    let _ = run.pids();
    let _ = run.stats();
    let _ = run.resume();
    let _ = run.state("");
    Ok(())
}

fn pause_twice(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.pause();
    let _ = run.pause();
    let _ = run.state("");
    let _ = run.resume();
    Ok(())
}

fn resume_running(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.resume();
    let _ = run.state("");
    Ok(())
}

fn pause_created(run: &mut Run) -> Result<()> {
    run.created("sleep 600")?;
    let _ = run.pause();
    let _ = run.resume();
    let _ = run.state("");
    Ok(())
}

fn pause_ended(run: &mut Run) -> Result<()> {
    run.running("exit 0")?;
    let _ = run.wait("");
    let _ = run.pause();
    let _ = run.resume();
    let _ = run.delete("");
    let _ = run.pause();
    Ok(())
}

fn delete_paused(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.pause();
    let _ = run.delete("");
    let _ = run.resume();
    Ok(())
}

/// A signal waits until it runs again.
fn kill_paused(run: &mut Run) -> Result<()> {
    run.running("trap 'exit 16' TERM; while :; do sleep 0.1; done")?;
    std::thread::sleep(Duration::from_millis(500));
    let _ = run.pause();
    let _ = run.kill("", 15);
    let _ = run.state("");
    let _ = run.resume();
    run.finish();
    Ok(())
}

fn exec_in_paused(run: &mut Run) -> Result<()> {
    run.running("sleep 600")?;
    let _ = run.pause();
    run.start_exec("e", "true");
    let _ = run.resume();
    Ok(())
}

//! The process is killed at any moment, and another one recovers.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::super::{Recovery, recover};
use super::snapshot::{assert_same, snapshot};
use super::trees::sample;
use super::*;

const ARCHIVE: &str = "CARRY_TEST_ARCHIVE";
const TARGET: &str = "CARRY_TEST_TARGET";
const HOW: &str = "CARRY_TEST_HOW";
/// Moments at which the process is killed.
const STEPS: u32 = 40;
/// So often they are tried, if few processes are met at work.
const ROUNDS: usize = 5;

/// What the killed process runs: not a test of its own.
#[test]
#[ignore = "run by the tests of this module"]
fn child() {
    let (Ok(archive), Ok(target), Ok(how)) = (
        std::env::var(ARCHIVE),
        std::env::var(TARGET),
        std::env::var(HOW),
    ) else {
        return;
    };
    let archive = Path::new(&archive);
    let mode = match how.as_str() {
        "add" => Mode::Add(Beside::default()),
        _ => Mode::Replace {
            stash: archive.with_file_name("stash.tar"),
        },
    };
    let populated = populate(&Request {
        archive,
        target: Path::new(&target),
        journal: &archive.with_file_name("journal.json"),
        mode,
    })
    .unwrap();
    if how == "commit" {
        populated.commit().unwrap();
    } else {
        populated.rollback().unwrap();
    }
}

fn spawn(ground: &Ground, how: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "carry::tests::crash::child", "--ignored"])
        .env(ARCHIVE, ground.archive())
        .env(TARGET, ground.target())
        .env(HOW, how)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn fill(root: &Path, files: usize) {
    sample(root);
    for number in 0..files {
        fs::write(root.join(format!("{number}")), vec![7; 20_000]).unwrap();
    }
}

fn empty(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Kills the process at many moments of its run, and checks after each recovery.
fn kill_everywhere(ground: &Ground, how: &str, mut check: impl FnMut()) {
    fill(ground.source(), 300);
    ground.capture();
    let mut recovered = [0; ROUNDS];
    for recovered in &mut recovered {
        *recovered = kill_in_steps(ground, how, &mut check);
        if *recovered > STEPS / 4 {
            return;
        }
    }
    // The moments were badly chosen each time, and this proves nothing.
    panic!("only {recovered:?} of {STEPS} were under way");
}

/// Returns how many were under way. On a machine that has other things to do a process may take much
/// longer, or less long, than the one that is measured.
fn kill_in_steps(ground: &Ground, how: &str, check: &mut impl FnMut()) -> u32 {
    let start = Instant::now();
    assert!(spawn(ground, how).wait().unwrap().success());
    let whole = start.elapsed();
    check();
    let mut recovered = 0;
    for step in 0..STEPS {
        let mut child = spawn(ground, how);
        std::thread::sleep(whole * step / STEPS);
        child.kill().unwrap();
        child.wait().unwrap();
        if recover(&ground.journal()).unwrap() == Recovery::Recovered {
            recovered += 1;
        }
        ground.assert_clean();
        check();
        assert_eq!(recover(&ground.journal()).unwrap(), Recovery::Nothing);
    }
    recovered
}

#[test]
fn a_replacement_that_is_killed_leaves_the_old_tree() {
    let ground = Ground::new();
    fill(ground.target(), 200);
    let before = snapshot(ground.target());
    kill_everywhere(&ground, "rollback", || {
        assert_same(&before, &snapshot(ground.target()));
    });
}

#[test]
fn an_addition_that_is_killed_leaves_no_name() {
    let ground = Ground::new();
    kill_everywhere(&ground, "add", || {
        assert_eq!(snapshot(ground.target()).len(), 1);
    });
}

#[test]
fn a_commit_that_is_killed_leaves_the_old_tree_or_the_new() {
    let ground = Ground::new();
    fill(ground.target(), 10);
    let mut before = snapshot(ground.target());
    kill_everywhere(&ground, "commit", || {
        let now = snapshot(ground.target());
        if now.len() == before.len() {
            assert_same(&before, &now);
        } else {
            assert_same(&snapshot(ground.source()), &now);
            empty(ground.target());
            fill(ground.target(), 10);
            before = snapshot(ground.target());
        }
    });
}

#[test]
fn another_directory_in_the_targets_place_is_not_touched() {
    let ground = Ground::new();
    sample(ground.source());
    ground.capture();
    sample(ground.target());
    drop(ground.replace().unwrap());
    let moved = ground.target().with_extension("moved");
    fs::rename(ground.target(), &moved).unwrap();
    let other = Recovery::OtherTarget {
        stash: Some(ground.stash()),
    };
    assert_eq!(recover(&ground.journal()).unwrap(), other);
    fs::create_dir(ground.target()).unwrap();
    fs::write(ground.target().join("other"), b"").unwrap();
    assert_eq!(recover(&ground.journal()).unwrap(), other);
    assert!(ground.stash().exists());
    assert!(ground.target().join("other").exists());
    fs::remove_dir_all(moved).unwrap();
}

#[test]
fn a_journal_of_another_version_is_refused() {
    let ground = Ground::new();
    fs::write(ground.journal(), b"{\"version\":2}").unwrap();
    let error = recover(&ground.journal()).unwrap_err();
    assert!(matches!(error, PopulateError::Journal { .. }), "{error}");
    assert!(error.to_string().contains("version"), "{error}");
}

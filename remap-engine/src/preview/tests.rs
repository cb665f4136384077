use super::*;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

/// A container whose init is a shell of the test's; its mounts are the test's own.
struct Container {
    root: tempfile::TempDir,
    init: Child,
}

impl Container {
    /// Runs `line` in a directory of its own and waits for its file `ready`.
    fn start(line: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bundle = root.path().join("bundle");
        std::fs::create_dir(&bundle).unwrap();
        std::fs::write(bundle.join("config.json"), "{}").unwrap();
        crate::bundle::adopt(&bundle).unwrap();
        let init = Command::new("sh")
            .args(["-c", line])
            .current_dir(root.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while !root.path().join("ready").exists() {
            std::thread::yield_now();
        }
        Self { root, init }
    }

    fn preview(&self) -> Preview {
        let pid = i32::try_from(self.init.id()).unwrap();
        let bundle = self.root.path().join("bundle");
        Preview::new(
            &bundle,
            pid,
            false,
            &DumpOptions::default(),
            &BTreeMap::new(),
        )
        .unwrap()
    }

    fn forecast(&self) -> Forecast {
        let preview = self.preview();
        let plan = preview.plan(Tasks::Running).unwrap();
        preview.judge(plan).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its children end with the pipe or by themselves.
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}

#[test]
fn what_is_left_of_a_name_is_found_while_the_container_runs_on() {
    let container =
        Container::start("exec 3>first; ln first second; rm first; touch ready; exec sleep 600");
    let second = container.root.path().join("second");
    let inode = second.metadata().unwrap().ino();
    let decision = || {
        let forecast = container.forecast();
        assert_eq!(forecast.refusals, []);
        let mut files = forecast.plan.files.into_iter();
        files.find(|file| file.inode == inode).unwrap().decision
    };
    let relinked = plan::Decision::Relinked {
        survivor: second.clone(),
    };
    assert_eq!(decision(), relinked);
    std::fs::remove_file(&second).unwrap();
    assert_eq!(decision(), plan::Decision::Ghost);
}

/// Processes, files and names come and go all the time.
#[test]
fn a_container_that_never_rests_can_be_looked_at() {
    let container = Container::start(
        "exec 3>held; touch ready; while :; do (exec 4>x; ln x y; rm -f x y; true) & wait; done",
    );
    let preview = container.preview();
    for _ in 0..20 {
        let plan = preview.plan(Tasks::Running).unwrap();
        assert_eq!(
            plan.exec_sessions
                .iter()
                .find(|session| session.command == "rm"),
            None
        );
    }
}

#[test]
fn a_container_that_has_ended_is_an_error() {
    let mut container = Container::start("touch ready; exec sleep 600");
    let preview = container.preview();
    container.init.kill().unwrap();
    container.init.wait().unwrap();
    let error = preview.plan(Tasks::Running).unwrap_err();
    assert_eq!(error.phase, Phase::Scan);
}

#[test]
fn the_forecast_is_the_plan_of_a_checkpoint() {
    let container = Container::start("exec 3>held; rm held; touch ready; exec sleep 600");
    let preview = container.preview();
    // A process that sleeps, and whose child is gone, is as good as frozen.
    let comm = format!("/proc/{}/comm", container.init.id());
    while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    let frozen = preview.plan(Tasks::Frozen).unwrap();
    let running = preview.plan(Tasks::Running).unwrap();
    assert_eq!(frozen.files, running.files);
    assert_eq!(frozen.map, running.map);
}

//! The transaction with a dumper that does what runc and CRIU do, and fails where it is told to.
//! The "container" is a child of the test; its mounts are the test's own, so nothing is carried.

use super::*;
use crate::hold::{Call, Stage};
use crate::workdir::WorkDir;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// What the dumper does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    Freeze,
    Dump,
    NoScript,
    Stuck,
    NoImages,
    RuntimeAfterKill,
    /// CRIU does not come to its end before the checkpoint is complete.
    UntilSealed,
    /// The same, and then it fails.
    AfterSealed,
    /// The client takes longer than the time limit.
    SlowClient,
    /// The client forbids it.
    Client,
}

impl Client for FakeDumper<'_> {
    fn decide(&self) -> Result<(), BoxError> {
        self.note("hand over");
        let manifest = self.image_dir.join(crate::manifest::FILE_NAME);
        assert_eq!(manifest.exists(), self.exit, "complete, if the tasks end");
        match self.fault {
            Fault::Client => Err("it has no room".into()),
            _ => {
                std::thread::sleep(Duration::from_millis(1500));
                Ok(())
            }
        }
    }
}

struct FakeDumper<'a> {
    work: WorkDir,
    image_dir: PathBuf,
    init: Mutex<&'a mut Child>,
    exit: bool,
    fault: Fault,
    paused: bool,
    log: Mutex<Vec<&'static str>>,
    aborted: (Mutex<bool>, Condvar),
}

impl FakeDumper<'_> {
    /// CRIU kills the tasks unless they are to run on.
    fn end_tasks(&self) {
        if self.exit {
            let mut init = self.init.lock().unwrap();
            init.kill().unwrap();
            init.wait().unwrap();
        }
    }

    fn note(&self, what: &'static str) {
        self.log.lock().unwrap().push(what);
    }
}

impl Dumper for FakeDumper<'_> {
    fn freeze(&self) -> Result<bool, BoxError> {
        self.note("freeze");
        if self.fault == Fault::Freeze {
            return Err("cannot freeze".into());
        }
        Ok(!self.paused)
    }

    fn freeze_again(&self) -> Result<(), BoxError> {
        self.note("freeze again");
        Ok(())
    }

    fn thaw(&self) -> Result<(), BoxError> {
        self.note("thaw");
        Ok(())
    }

    fn has_finished(&self) -> bool {
        self.fault == Fault::RuntimeAfterKill
    }

    fn client(&self) -> Option<&dyn Client> {
        matches!(self.fault, Fault::Client | Fault::SlowClient).then_some(self)
    }

    fn abort(&self) {
        self.note("abort");
        *self.aborted.0.lock().unwrap() = true;
        self.aborted.1.notify_all();
    }

    fn dump(&self) -> Result<(), BoxError> {
        self.note("dump");
        let config = std::fs::read_to_string(self.work.criu_config()).unwrap();
        let script = config
            .lines()
            .next()
            .unwrap()
            .strip_prefix("action-script ")
            .unwrap();
        std::fs::write(self.image_dir.join("inventory.img"), b"x").unwrap();
        if self.fault != Fault::NoImages {
            let empty = [0x5456_4319u32, 0x5630_3138].map(u32::to_le_bytes).concat();
            std::fs::write(self.image_dir.join("files.img"), empty).unwrap();
        }
        match self.fault {
            Fault::Dump => return Err("criu failed".into()),
            Fault::NoScript => {
                self.end_tasks();
                return Ok(());
            }
            Fault::Stuck => {
                let aborted = self.aborted.0.lock().unwrap();
                let wait = self.aborted.1.wait_while(aborted, |aborted| !*aborted);
                drop(wait.unwrap());
                return Err("runc was killed".into());
            }
            _ => {}
        }
        // The script's side of the protocol, as `hold::ask` has it, without the environment.
        let dir = std::fs::File::open(Path::new(script).parent().unwrap()).unwrap();
        let socket = format!(
            "/proc/self/fd/{}/hold.sock",
            std::os::fd::AsRawFd::as_raw_fd(&dir)
        );
        let mut verdict = [0];
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let call = Call {
            stage: Stage::PostDump,
            init: 0,
        };
        std::io::Write::write_all(&mut stream, &call.bytes()).unwrap();
        std::io::Read::read_exact(&mut stream, &mut verdict).unwrap();
        if verdict != *b"r" {
            return Err("the script forbade it".into());
        }
        if matches!(self.fault, Fault::UntilSealed | Fault::AfterSealed) {
            let manifest = self.image_dir.join(crate::manifest::FILE_NAME);
            let begun = std::time::Instant::now();
            let limit = Duration::from_millis(if self.paused { 20_000 } else { 500 });
            while !manifest.exists() {
                if begun.elapsed() > limit {
                    return Err("nobody makes it complete".into());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if self.fault == Fault::AfterSealed {
            return Err("CRIU fails in the end".into());
        }
        self.end_tasks();
        if self.fault == Fault::RuntimeAfterKill {
            return Err("runc was killed".into());
        }
        Ok(())
    }
}

struct Outcome {
    result: Result<Took, PhaseError>,
    log: Vec<&'static str>,
    images_left: bool,
    init_lives: bool,
    config_after: String,
}

fn run(exit: bool, fault: Fault) -> Outcome {
    run_from(false, exit, fault)
}

fn run_from(paused: bool, exit: bool, fault: Fault) -> Outcome {
    let root = tempfile::tempdir().unwrap();
    let bundle = root.path().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    // The test's other processes share the control group of this container's init.
    let is_hasty = matches!(fault, Fault::Stuck | Fault::SlowClient);
    let seconds = if is_hasty { 1 } else { 60 };
    let config = format!(
        r#"{{"annotations":{{"io.remap.dump-timeout-seconds":"{seconds}","io.remap.lose-exec-sessions":"true"}}}}"#
    );
    std::fs::write(bundle.join("config.json"), config).unwrap();
    crate::bundle::adopt(&bundle).unwrap();
    let mut init = Command::new("sleep").arg("60").spawn().unwrap();
    let request = CheckpointRequest {
        bundle: bundle.clone(),
        init_pid: i32::try_from(init.id()).unwrap(),
        image_dir: root.path().join("images"),
        work_dir: root.path().into(),
        exit,
        durability: Durability::OnDisk,
        facts: Facts::default(),
        script: "/bin/true".into(),
    };
    let dumper = FakeDumper {
        work: WorkDir::of(&bundle),
        image_dir: request.image_dir.clone(),
        init: Mutex::new(&mut init),
        exit,
        fault,
        paused,
        log: Mutex::default(),
        aborted: Default::default(),
    };
    let result = checkpoint(&request, &dumper);
    let log = dumper.log.into_inner().unwrap();
    let work = WorkDir::of(&bundle);
    assert!(!work.hold().exists(), "the meeting point stays");
    let outcome = Outcome {
        result,
        log,
        images_left: request.image_dir.exists(),
        init_lives: init.try_wait().unwrap().is_none(),
        config_after: std::fs::read_to_string(work.criu_config()).unwrap_or_default(),
    };
    init.kill().unwrap();
    init.wait().unwrap();
    outcome
}

#[test]
fn leave_running_ends_with_running_tasks_and_a_sealed_checkpoint() {
    let outcome = run(false, Fault::None);
    let took = outcome.result.unwrap();
    for phase in [
        "prepare",
        "freeze",
        "scan",
        "plan",
        "dump",
        "capture",
        "thaw",
        "reconcile",
        "seal",
    ] {
        assert!(took.phases_us.contains_key(phase), "{phase}: {took}");
    }
    assert!(took.stood_still_us.unwrap() >= took.phases_us["capture"]);

    assert!(took.volumes.checkpoint_bytes > 0, "{took}");
    assert_eq!(outcome.log, ["freeze", "dump", "thaw"]);
    assert!(outcome.images_left && outcome.init_lives);
    assert!(!outcome.config_after.contains("action-script"));
}

#[test]
fn exit_ends_the_tasks_and_never_thaws_them() {
    let outcome = run(true, Fault::None);
    outcome.result.unwrap();
    assert_eq!(outcome.log, ["freeze", "dump"]);
    assert!(outcome.images_left && !outcome.init_lives);
}

#[test]
fn whatever_fails_the_tasks_run_again_and_nothing_stays() {
    for exit in [false, true] {
        for fault in [Fault::Freeze, Fault::Dump, Fault::NoScript, Fault::NoImages] {
            if exit && fault == Fault::NoScript {
                continue;
            }
            let outcome = run(exit, fault);
            assert!(outcome.result.is_err(), "{fault:?}");
            assert!(!outcome.images_left, "{fault:?}");
            assert!(outcome.init_lives, "{fault:?}");
            if fault != Fault::Freeze {
                assert_eq!(outcome.log.last(), Some(&"thaw"), "{fault:?}");
            }
        }
    }
}

#[test]
fn a_dump_that_takes_too_long_is_ended_and_says_so() {
    let outcome = run(false, Fault::Stuck);
    let error = crate::phase::report(&outcome.result.unwrap_err());
    assert!(error.contains("within 1 s") && error.contains("io.remap.dump-timeout-seconds"));
    assert_eq!(outcome.log, ["freeze", "dump", "abort", "thaw"]);
    assert!(!outcome.images_left && outcome.init_lives);
}

#[test]
fn a_client_that_forbids_it_has_the_tasks_run_again() {
    for exit in [false, true] {
        let outcome = run(exit, Fault::Client);
        let error = crate::phase::report(&outcome.result.unwrap_err());
        assert_eq!(error, "phase hand-over: it has no room");
        assert_eq!(outcome.log, ["freeze", "dump", "hand over", "thaw"]);
        assert!(!outcome.images_left && outcome.init_lives);
    }
}

#[test]
fn no_time_limit_counts_what_the_client_does() {
    for exit in [false, true] {
        let outcome = run(exit, Fault::SlowClient);
        assert!(outcome.result.unwrap().phases_us["hand-over"] >= 1_500_000);
        assert!(outcome.images_left && outcome.init_lives != exit);
    }
}

#[test]
fn a_paused_container_stays_paused() {
    let outcome = run_from(true, false, Fault::None);
    outcome.result.unwrap();
    assert_eq!(outcome.log, ["freeze", "dump"]);
    let outcome = run_from(true, false, Fault::Dump);
    assert!(outcome.result.is_err());
    assert_eq!(outcome.log, ["freeze", "dump", "freeze again"]);
}

#[test]
fn a_checkpoint_that_is_waited_for_is_made_complete_while_criu_ends() {
    let outcome = run_from(true, false, Fault::UntilSealed);
    outcome.result.unwrap();
    assert!(outcome.images_left && outcome.init_lives);
    // One that is not waited for is made complete when the tasks run.
    assert!(run_from(false, false, Fault::UntilSealed).result.is_err());
    let outcome = run_from(true, false, Fault::AfterSealed);
    let error = crate::phase::report(&outcome.result.unwrap_err());
    assert_eq!(error, "phase dump: CRIU fails in the end");
    assert!(!outcome.images_left && outcome.init_lives);
}

#[test]
fn an_error_after_the_tasks_have_ended_does_not_lose_the_checkpoint() {
    let outcome = run(true, Fault::RuntimeAfterKill);
    outcome.result.unwrap();
    assert!(outcome.images_left && !outcome.init_lives);
}

#[test]
fn a_criu_that_calls_no_script_and_ends_the_tasks_does_not_lose_the_checkpoint() {
    let outcome = run(true, Fault::NoScript);
    outcome.result.unwrap();
    assert_eq!(outcome.log, ["freeze", "dump"]);
    assert!(outcome.images_left && !outcome.init_lives);
}

#[test]
fn a_container_of_another_shim_is_refused_untouched() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("config.json"), r#"{"ociVersion":"1.0.2"}"#).unwrap();
    let request = CheckpointRequest {
        bundle: root.path().into(),
        init_pid: 1,
        image_dir: root.path().join("images"),
        work_dir: root.path().into(),
        exit: false,
        durability: Durability::OnDisk,
        facts: Facts::default(),
        script: "/bin/true".into(),
    };
    struct Never;
    impl Dumper for Never {
        fn freeze(&self) -> Result<bool, BoxError> {
            Err("called".into())
        }
        fn freeze_again(&self) -> Result<(), BoxError> {
            Err("called".into())
        }
        fn thaw(&self) -> Result<(), BoxError> {
            Err("called".into())
        }
        fn dump(&self) -> Result<(), BoxError> {
            Err("called".into())
        }
        fn has_finished(&self) -> bool {
            false
        }
        fn abort(&self) {}
    }
    let error = checkpoint(&request, &Never).unwrap_err();
    assert_eq!(error.phase, Phase::Prepare);
    assert!(crate::phase::report(&error).contains("create it anew"));
    assert!(!request.image_dir.exists());
}

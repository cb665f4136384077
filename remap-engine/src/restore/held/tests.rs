//! A restore whose ghosts get names, with a restorer that does what CRIU does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::criu::locks::{self, PosixLock};
use crate::ghosts::{GhostFile, GhostName};
use crate::hold::{Call, Stage};
use crate::manifest::{DumpOptions, Manifest};
use crate::phase::BoxError;
use crate::restore::{RestoreRequest, Restorer, recover, restore};
use crate::workdir::WorkDir;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// Before the script is called.
    Early,
    /// The script is not called.
    NoScript,
    /// Somebody takes the name meanwhile.
    Taken,
    /// After the script was called.
    Late,
    /// The tasks lack a lock, and cannot be frozen.
    Warm,
    /// They lack one, and nobody can take it for them.
    NoTracer,
}

struct FakeRestorer<'g> {
    ground: &'g Ground,
    fault: Fault,
}

impl FakeRestorer<'_> {
    /// The script's side of the protocol, as [`crate::hold::ask`] has it.
    fn ask(&self, stage: Stage) -> u8 {
        let config = std::fs::read_to_string(self.ground.work().criu_config()).unwrap();
        let script = config.lines().next().unwrap();
        let script = Path::new(script.strip_prefix("action-script ").unwrap());
        let dir = std::fs::File::open(script.parent().unwrap()).unwrap();
        let socket = format!("/proc/self/fd/{}/hold.sock", dir.as_raw_fd());
        let mut verdict = [0];
        let mut stream = UnixStream::connect(socket).unwrap();
        let init = i32::try_from(self.ground.task.id()).unwrap();
        let call = Call { stage, init };
        stream.write_all(&call.bytes()).unwrap();
        stream.read_exact(&mut verdict).unwrap();
        verdict[0]
    }
}

impl Restorer for FakeRestorer<'_> {
    fn restore(&self, _options: Option<&DumpOptions>) -> Result<(), BoxError> {
        let ghost = self.ground.target.path().join("a.cr.1.ghost");
        std::fs::write(&ghost, b"contents").unwrap();
        match self.fault {
            Fault::Early => return Err("criu failed".into()),
            Fault::NoScript => return Ok(()),
            Fault::Taken => std::fs::write(self.ground.target.path().join("b"), b"x").unwrap(),
            _ => {}
        }
        // CRIU before 4.2 calls it twice.
        if [self.ask(Stage::PostRestore), self.ask(Stage::PostRestore)] != *b"rr" {
            return Err("the script failed".into());
        }
        // It does not heed the script any more.
        self.ask(Stage::PreResume);
        if self.fault == Fault::Late {
            return Err("criu failed".into());
        }
        std::fs::remove_file(ghost).unwrap();
        Ok(())
    }

    fn freeze(&self, processes: &[i32]) -> Result<(), BoxError> {
        assert_eq!(processes, [i32::try_from(self.ground.task.id()).unwrap()]);
        match self.fault {
            Fault::NoTracer => Ok(()),
            _ => Err("nothing is frozen".into()),
        }
    }

    fn thaw(&self, _init: i32) -> Result<(), BoxError> {
        panic!("they would run without their locks")
    }

    fn abort(&self) {}

    fn discard(&self) {}
}

struct Ground {
    root: tempfile::TempDir,
    target: tempfile::TempDir,
    /// What CRIU has restored.
    task: Child,
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.task.kill().unwrap();
        self.task.wait().unwrap();
    }
}

impl Ground {
    fn new(fault: Fault) -> Self {
        let mut sleep = Command::new("sleep");
        let task = sleep.arg("60").stdin(Stdio::null()).spawn().unwrap();
        let root = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir_in("/dev/shm").unwrap();
        let images = root.path().join("images");
        std::fs::create_dir(&images).unwrap();
        std::fs::write(images.join("inventory.img"), b"x").unwrap();
        if matches!(fault, Fault::Warm | Fault::NoTracer) {
            let lock = PosixLock {
                pid: i32::try_from(task.id()).unwrap(),
                fd: 0,
                kind: 1,
                start: 0,
                bytes: 1,
            };
            locks::write(&images, &lock);
        }
        let options = DumpOptions::default();
        let mut manifest = Manifest::build(&images, BTreeMap::new(), options, vec![]).unwrap();
        manifest.ghosts.push(GhostFile {
            destination: "/dev/shm".into(),
            id: 1,
            beside: "a".into(),
            names: ["a", "b"].map(|name| GhostName(name.into())).into(),
            directories: vec![],
            attributes: Default::default(),
            size_bytes: 8,
            data_bytes: 8,
        });
        manifest.write(&images).unwrap();
        let bundle = root.path().join("bundle");
        std::fs::create_dir(&bundle).unwrap();
        let users = root.path().join("criu.conf");
        std::fs::write(&users, "the user's\n").unwrap();
        let config = format!(
            r#"{{"mounts":[{{"destination":"/dev/shm","type":"bind","source":"{}"}}],
                "annotations":{{"org.criu.config":"{}"}}}}"#,
            target.path().display(),
            users.display()
        );
        std::fs::write(bundle.join("config.json"), config).unwrap();
        crate::bundle::adopt(&bundle).unwrap();
        Self { root, target, task }
    }

    fn work(&self) -> WorkDir {
        WorkDir::of(&self.root.path().join("bundle"))
    }

    fn restore(&self, fault: Fault) -> Result<(), String> {
        let request = RestoreRequest {
            cgroup_root: None,
            bundle: self.root.path().join("bundle"),
            image_dir: self.root.path().join("images"),
            work_dir: self.root.path().join("work"),
            external: vec![],
            script: "/bin/true".into(),
        };
        let restorer = FakeRestorer {
            ground: self,
            fault,
        };
        restore(&request, &restorer)
            .map(drop)
            .map_err(|error| crate::phase::report(&error))
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.target.path()).unwrap();
        let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn assert_nothing_of_it_is_left(&self) {
        let config = std::fs::read_to_string(self.work().criu_config()).unwrap();
        assert_eq!(config, "the user's\n");
        assert!(!self.work().hold().exists() && !self.work().relink_note().exists());
    }
}

#[test]
fn a_ghost_has_its_names_when_the_tasks_run() {
    let ground = Ground::new(Fault::None);
    ground.restore(Fault::None).unwrap();
    assert_eq!(ground.names(), ["a", "b"]);
    let inode = |name: &str| std::fs::metadata(ground.target.path().join(name)).unwrap();
    assert_eq!(inode("a").ino(), inode("b").ino());
    assert_eq!(inode("a").nlink(), 2);
    ground.assert_nothing_of_it_is_left();
}

#[test]
fn a_failure_leaves_no_name_and_says_what_has_failed() {
    for (fault, said) in [
        (Fault::Early, "criu failed"),
        (Fault::Late, "criu failed"),
        (Fault::NoScript, "without calling the action script"),
        (Fault::Taken, "exist already"),
        (Fault::Warm, "nothing is frozen"),
        (Fault::NoTracer, "the tracer"),
    ] {
        let ground = Ground::new(fault);
        let error = ground.restore(fault).unwrap_err();
        assert!(error.contains(said), "{fault:?}: {error}");
        let theirs: &[&str] = if fault == Fault::Taken { &["b"] } else { &[] };
        assert_eq!(ground.names(), theirs, "{fault:?}");
        ground.assert_nothing_of_it_is_left();
    }
}

#[test]
fn what_was_committed_stays_whoever_looks_for_leftovers() {
    let ground = Ground::new(Fault::None);
    ground.restore(Fault::None).unwrap();
    recover(&ground.root.path().join("bundle")).unwrap();
    assert_eq!(ground.names(), ["a", "b"]);
}

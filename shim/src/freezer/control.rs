//! The files by which the kernel freezes a container (cgroup v1's freezer controller, and
//! `cgroup.freeze` of the unified hierarchy).

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{self, Instant};

use super::stuck::{self, StuckTask};
use crate::cgroup::Cgroup;

/// A task that can freeze has done so after this time.
const TO_FREEZE: Duration = Duration::from_millis(100);

/// Lists the processes of a cgroup, and takes others in.
const PROCESSES: &str = "cgroup.procs";

/// Tasks run again after this time, and it is looked whether they do after each part of it.
const TO_THAW: Duration = Duration::from_millis(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// Those of one container; without them nobody is named.
#[derive(Debug)]
pub(crate) struct Control(Option<Files>);

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    /// Says and sets whether tasks are frozen.
    state: &'static str,
    /// What freezes them.
    freeze: &'static str,
    /// What thaws them.
    thaw: &'static str,
    /// The file that says whether they are frozen, by this cgroup or by one above it, and the line
    /// if they are not (cgroups(7); admin-guide/cgroup-v1/freezer-subsystem.rst).
    thawed: (&'static str, &'static str),
    /// Lists the threads.
    threads: &'static str,
}

impl Control {
    /// Those of the container whose init is `pid`.
    pub(crate) fn of(pid: u32) -> Self {
        let cgroup = Cgroup::of(pid).inspect_err(|error| tracing::debug!(%error, "no cgroup"));
        Self(cgroup.ok().and_then(Files::of))
    }

    /// The tasks that do not freeze when they are told to. Afterwards all of them run.
    pub(super) async fn who_is_stuck(&self) -> Vec<StuckTask> {
        let Some(files) = &self.0 else {
            return Vec::new();
        };
        if let Err(error) = files.write(files.freeze) {
            tracing::debug!(%error, "there is nothing to freeze");
            return Vec::new();
        }
        time::sleep(TO_FREEZE).await;
        let mut tasks = Vec::new();
        let mut look = |thread| tasks.extend(stuck::look_at(thread));
        if let Err(error) = files.each(&files.directory, &mut look) {
            tracing::debug!(%error, "cannot list the tasks");
        }
        if let Err(error) = files.write(files.thaw) {
            tracing::warn!(%error, directory = %files.directory.display(), "cannot thaw");
        }
        tasks
    }

    /// Whether a task, of those that are frozen, waits for a child of vfork(2), as it does until the
    /// child runs its program: CRIU cannot stop such a task.
    pub(super) fn is_in_vfork(&self) -> bool {
        let Some(files) = &self.0 else {
            return false;
        };
        let mut found = false;
        let mut look = |thread| found |= stuck::is_in_vfork(thread);
        if let Err(error) = files.each(&files.directory, &mut look) {
            tracing::debug!(%error, "cannot list the tasks");
        }
        found
    }

    /// Tells these processes to freeze, and does not wait for it. What else is in the cgroup comes
    /// into that of the shim first.
    ///
    /// # Errors
    /// There is no freezer, or it refuses.
    pub(crate) fn freeze_only(&self, processes: &[i32]) -> io::Result<()> {
        let own = Self::of(std::process::id());
        let (Some(files), Some(own)) = (&self.0, &own.0) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the container is in no cgroup that can be frozen",
            ));
        };
        let members = fs::read_to_string(files.directory.join(PROCESSES))?;
        let members = members.lines().filter_map(|line| line.parse().ok());
        for other in members.filter(|member| !processes.contains(member)) {
            fs::write(own.directory.join(PROCESSES), other.to_string())?;
        }
        files.write(files.freeze)
    }

    /// Lets the tasks run.
    ///
    /// # Errors
    /// The freezer refuses.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        self.0
            .as_ref()
            .map_or(Ok(()), |files| files.write(files.thaw))
    }

    /// Lets the tasks run, and returns whether they do. They do not if init has gone into a cgroup
    /// of its own, below the one that is frozen.
    pub(super) async fn thaw_all(&self) -> io::Result<bool> {
        let Some(files) = &self.0 else {
            return Ok(false);
        };
        files.write(files.thaw)?;
        let begun = Instant::now();
        while !files.are_thawed()? {
            if begun.elapsed() >= TO_THAW {
                return Ok(false);
            }
            time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok(true)
    }
}

impl Files {
    fn of(cgroup: Cgroup) -> Option<Self> {
        Some(match cgroup {
            Cgroup::V1(mut paths) => Self {
                directory: paths.remove("freezer")?,
                state: "freezer.state",
                freeze: "FROZEN",
                thaw: "THAWED",
                thawed: ("freezer.state", "THAWED"),
                threads: "tasks",
            },
            Cgroup::V2(directory) => Self {
                directory,
                state: "cgroup.freeze",
                freeze: "1",
                thaw: "0",
                thawed: ("cgroup.events", "frozen 0"),
                threads: "cgroup.threads",
            },
        })
    }

    fn write(&self, state: &str) -> io::Result<()> {
        fs::write(self.directory.join(self.state), state)
    }

    fn are_thawed(&self) -> io::Result<bool> {
        let (file, thawed) = self.thawed;
        let text = fs::read_to_string(self.directory.join(file))?;
        Ok(text.lines().any(|line| line == thawed))
    }

    /// The threads of a cgroup and of those below it.
    fn each(&self, directory: &Path, look: &mut dyn FnMut(i32)) -> io::Result<()> {
        let threads = fs::read_to_string(directory.join(self.threads))?;
        threads.lines().flat_map(str::parse).for_each(&mut *look);
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.each(&entry.path(), look)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(directory: &Path) -> Control {
        let paths = [("freezer".to_owned(), directory.to_owned())];
        Control(Files::of(Cgroup::V1(paths.into())))
    }

    #[tokio::test]
    async fn who_runs_is_named_and_the_rest_is_thawed() {
        let dir = tempfile::tempdir().unwrap();
        // This thread runs, so it is not frozen; it is in a cgroup below.
        let own = nix::unistd::gettid();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("tasks"), "").unwrap();
        fs::write(dir.path().join("below/tasks"), format!("{own}\n")).unwrap();
        let tasks = control(dir.path()).who_is_stuck().await;
        assert_eq!(tasks[0].pid, own.as_raw());
        let state = fs::read(dir.path().join("freezer.state")).unwrap();
        assert_eq!(state, b"THAWED");
    }

    #[tokio::test]
    async fn tasks_below_a_frozen_group_are_not_said_to_run() {
        for (line, runs) in [("frozen 1", false), ("frozen 0", true)] {
            let dir = tempfile::tempdir().unwrap();
            let events = format!("populated 1\n{line}\n");
            fs::write(dir.path().join("cgroup.events"), events).unwrap();
            let control = Control(Files::of(Cgroup::V2(dir.path().to_owned())));
            assert_eq!(control.thaw_all().await.unwrap(), runs);
            let written = fs::read(dir.path().join("cgroup.freeze")).unwrap();
            assert_eq!(written, b"0");
        }
    }

    #[tokio::test]
    async fn without_the_controller_or_the_container_nobody_is_named() {
        let none = Control(Files::of(Cgroup::V1([].into())));
        assert_eq!(none.who_is_stuck().await, []);
        assert!(!none.thaw_all().await.unwrap());
        let gone = control(Path::new("/nonexistent"));
        assert_eq!(gone.who_is_stuck().await, []);
    }
}

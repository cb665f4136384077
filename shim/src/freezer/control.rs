//! The files by which the kernel freezes a container (cgroup v1's freezer controller, and
//! `cgroup.freeze` of the unified hierarchy).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::stuck::{self, StuckTask};
use crate::cgroup::Cgroup;

/// Those of one container; without them nobody is named, and runc alone thaws.
#[derive(Debug)]
pub(super) struct Control(Option<Files>);

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    /// Says and sets whether tasks are frozen.
    state: &'static str,
    /// What `state` holds while tasks are being frozen, and not all are.
    freezing: &'static str,
    /// What thaws them.
    thaw: &'static str,
    /// Lists the threads.
    threads: &'static str,
}

impl Control {
    /// Those of the container whose init is `pid`.
    pub(super) fn of(pid: u32) -> Self {
        let cgroup = Cgroup::of(pid).inspect_err(|error| tracing::debug!(%error, "no cgroup"));
        Self(cgroup.ok().and_then(Files::of))
    }

    /// The tasks that are not frozen although they should be; `None` if nobody asks them to be.
    pub(super) fn unfrozen(&self) -> Option<Vec<StuckTask>> {
        let files = self.0.as_ref()?;
        if !files.is_freezing() {
            return None;
        }
        let mut tasks = Vec::new();
        files.collect(&files.directory, &mut tasks).ok()?;
        // Thawed meanwhile, they would all look stuck.
        files.is_freezing().then_some(tasks)
    }

    /// Lets all tasks run, as they did before; what is not frozen stays as it is.
    pub(super) fn thaw(&self) {
        let Some(files) = &self.0 else { return };
        if let Err(error) = fs::write(files.directory.join(files.state), files.thaw) {
            tracing::warn!(%error, directory = %files.directory.display(), "cannot thaw");
        }
    }
}

impl Files {
    fn of(cgroup: Cgroup) -> Option<Self> {
        Some(match cgroup {
            Cgroup::V1(mut paths) => Self {
                directory: paths.remove("freezer")?,
                state: "freezer.state",
                freezing: "FREEZING",
                thaw: "THAWED",
                threads: "tasks",
            },
            Cgroup::V2(directory) => Self {
                directory,
                state: "cgroup.freeze",
                freezing: "1",
                thaw: "0",
                threads: "cgroup.threads",
            },
        })
    }

    fn is_freezing(&self) -> bool {
        fs::read_to_string(self.directory.join(self.state))
            .is_ok_and(|state| state.trim() == self.freezing)
    }

    /// The stuck ones of a cgroup and those below it.
    fn collect(&self, directory: &Path, tasks: &mut Vec<StuckTask>) -> io::Result<()> {
        for thread in fs::read_to_string(directory.join(self.threads))?.lines() {
            tasks.extend(thread.parse().ok().and_then(stuck::look_at));
        }
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.collect(&entry.path(), tasks)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Control {
        let paths = [("freezer".to_owned(), directory.to_owned())];
        Control(Files::of(Cgroup::V1(paths.into())))
    }

    #[test]
    fn tasks_are_named_while_they_are_being_frozen_only() {
        let dir = tempfile::tempdir().unwrap();
        let control = files(dir.path());
        // This thread runs, so it is not frozen.
        let own = nix::unistd::gettid();
        fs::write(dir.path().join("tasks"), format!("{own}\n")).unwrap();
        fs::write(dir.path().join("freezer.state"), "FREEZING\n").unwrap();
        let tasks = control.unfrozen().unwrap();
        assert_eq!(tasks[0].pid, own.as_raw());
        control.thaw();
        assert_eq!(control.unfrozen(), None);
        assert_eq!(
            fs::read(dir.path().join("freezer.state")).unwrap(),
            b"THAWED"
        );
    }

    #[test]
    fn without_the_controller_nothing_is_done() {
        let control = Control(Files::of(Cgroup::V1([].into())));
        control.thaw();
        assert_eq!(control.unfrozen(), None);
    }
}

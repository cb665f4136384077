//! Ends the tasks of a restore that was cut short.
//!
//! A CRIU that fails ends what it has restored. One that is killed leaves its tasks behind, some
//! still named `criu`, others waiting in their restored memory for a word that never comes. The
//! runtime has put CRIU into the container's control group before it began
//! (runc `criuApplyCgroups`), so that is where they are.

mod criu_dirs;
mod network;
mod thaw;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::criu::running;
use crate::ownership::all_pids;
use crate::phase::BoxError;
use crate::private;
use crate::process::{Process, process_tree};
use crate::workdir::WorkDir;

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Killed tasks are gone within this time.
const DEATH: Duration = Duration::from_secs(2);

/// Version of the note.
const VERSION: u32 = 1;

/// A restore that is under way, noted in the bundle for whoever comes after a shim that was killed.
#[derive(Debug, Serialize, Deserialize)]
pub struct HalfRestored {
    /// The first builds wrote none.
    #[serde(default = "first_version")]
    version: u32,
    #[serde(with = "crate::text")]
    image_dir: PathBuf,
    #[serde(with = "crate::text")]
    work_dir: PathBuf,
    /// The end of the control group's path, if the bundle names one.
    cgroup: Option<String>,
    /// Who was in that control group before: another container can have the same path.
    before: HashSet<i32>,
}

fn first_version() -> u32 {
    1
}

/// Tasks outlive SIGKILL.
#[derive(Debug, thiserror::Error)]
#[error("tasks of a restore that was cut short do not end: pids {0:?}")]
struct Outlived(Vec<i32>);

impl HalfRestored {
    /// Notes what there is before the restore.
    ///
    /// # Errors
    /// `/proc` cannot be listed, or the note not be written; nothing is left of it.
    pub fn begin(bundle: &Path, image_dir: &Path, work_dir: &Path) -> Result<Self, BoxError> {
        let mut half = Self {
            version: VERSION,
            image_dir: image_dir.to_owned(),
            work_dir: work_dir.to_owned(),
            cgroup: cgroup_of(bundle)?,
            before: HashSet::new(),
        };
        half.before = half.members()?;
        let text = serde_json::to_vec(&half)?;
        private::write(&WorkDir::of(bundle).restore_journal(), &text)?;
        Ok(half)
    }

    /// That of a process that was killed in the middle of a restore; `None` if there was none.
    ///
    /// # Errors
    /// The note cannot be read, or is that of a newer build.
    pub fn find(bundle: &Path) -> io::Result<Option<Self>> {
        let path = WorkDir::of(bundle).restore_journal();
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let half: Self = serde_json::from_slice(&text)?;
        if half.version != VERSION {
            let what = format!(
                "{} has the unknown version {}",
                path.display(),
                half.version
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Some(half))
    }

    /// Ends CRIU and every task that it has restored, also those that are frozen, and removes what CRIU
    /// has mounted, and its lock of the network into which the container of `bundle` was to come. The
    /// runtime that had started it must have been killed, or ends by itself when CRIU does.
    ///
    /// # Errors
    /// Tasks do not end.
    pub fn end(&self, bundle: &Path) -> Result<(), BoxError> {
        running::wait_until_gone(&self.image_dir, Duration::ZERO)?;
        let ended = self.end_tasks();
        // Not before: the peers of a task's connections would hear of its end.
        network::unlock(bundle);
        ended?;
        if let Err(error) = criu_dirs::remove(&self.work_dir) {
            tracing::warn!(%error, dir = %self.work_dir.display(), "directories of CRIU's stay");
        }
        Ok(())
    }

    fn end_tasks(&self) -> Result<(), BoxError> {
        let begun = Instant::now();
        loop {
            let left = self.tasks()?;
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() >= DEATH {
                return Err(Outlived(left).into());
            }
            for pid in left {
                tracing::info!(pid, "ending a task of a restore that was cut short");
                kill(pid);
                if let Ok(membership) = Process::pin(pid).and_then(|one| one.read("cgroup")) {
                    thaw::thaw(&membership);
                }
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// The restore is over, however it ended.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub fn forget(bundle: &Path) -> io::Result<()> {
        private::remove_if_exists(&WorkDir::of(bundle).restore_journal())
    }

    /// The restored tasks: of those in the control group that were not there before, the orphans
    /// that have come to this process or to one above it, and all that descend from them. What
    /// another shim or its containers have started descends from that shim.
    fn tasks(&self) -> Result<Vec<i32>, BoxError> {
        let above = with_ancestors();
        let mut tasks = Vec::new();
        let new = self.members()?.into_iter();
        for pid in new.filter(|pid| !self.before.contains(pid) && !above.contains(pid)) {
            let parent = Process::pin(pid).ok().and_then(|one| one.parent());
            if parent.is_some_and(|parent| above.contains(&parent)) {
                let tree = process_tree(pid).unwrap_or_default();
                tasks.push(pid);
                tasks.extend(tree.iter().skip(1).map(Process::pid));
            }
        }
        Ok(tasks)
    }

    /// Who lives in the control group.
    fn members(&self) -> io::Result<HashSet<i32>> {
        let Some(cgroup) = &self.cgroup else {
            return Ok(HashSet::new());
        };
        let is_member = |pid: &i32| {
            Process::pin(*pid).is_ok_and(|process| {
                !process.has_ended()
                    && process
                        .read("cgroup")
                        .is_ok_and(|text| is_in(&text, cgroup))
            })
        };
        Ok(all_pids()?.into_iter().filter(is_member).collect())
    }
}

/// The end of the path of the container's control group (OCI runtime specification, "Cgroups
/// Path"): `SLICE:PREFIX:NAME` stands for the scope `PREFIX-NAME.scope` of systemd.
fn cgroup_of(bundle: &Path) -> Result<Option<String>, BoxError> {
    let spec = oci_spec::runtime::Spec::load(bundle.join("config.json"))?;
    let path = spec
        .linux()
        .as_ref()
        .and_then(|it| it.cgroups_path().as_ref());
    let path = path.map(|path| path.to_string_lossy().into_owned());
    Ok(path.map(|path| {
        let parts: Vec<&str> = path.split(':').collect();
        match parts.as_slice() {
            [_, prefix, name] => format!("{prefix}-{name}.scope"),
            _ => path.trim_matches('/').to_owned(),
        }
    }))
}

/// Whether `/proc/PID/cgroup` (cgroups(7)) names a group whose path ends in `cgroup`, or one below.
fn is_in(text: &[u8], cgroup: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    !cgroup.is_empty()
        && paths
            .flat_map(|path| Path::new(path).ancestors())
            .any(|path| path.ends_with(cgroup))
}

/// This process and those above it.
fn with_ancestors() -> Vec<i32> {
    let mut pids = Vec::new();
    let mut next = i32::try_from(std::process::id()).ok();
    while let Some(pid) = next.filter(|pid| *pid > 0 && !pids.contains(pid)) {
        pids.push(pid);
        next = Process::pin(pid).ok().and_then(|one| one.parent());
    }
    pids
}

fn kill(pid: i32) {
    let killed = Pid::from_raw(pid)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .and_then(|task| pidfd_send_signal(task, Signal::KILL));
    if let Err(error) = killed {
        tracing::debug!(pid, %error, "it has ended by itself");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_group_is_known_by_the_end_of_its_path() {
        let text = b"4:memory:/host/default/c1\n0::/host/default/c1/inner\n";
        assert!(is_in(text, "default/c1") && is_in(text, "c1/inner"));
        assert!(!is_in(text, "fault/c1") && !is_in(text, "default/c") && !is_in(text, ""));
    }

    #[test]
    fn the_scope_of_systemd_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        for (path, wanted) in [
            ("/default/c1", "default/c1"),
            ("a.slice:cri:c1", "cri-c1.scope"),
        ] {
            let config = format!(r#"{{"ociVersion":"1.0.2","linux":{{"cgroupsPath":"{path}"}}}}"#);
            std::fs::write(dir.path().join("config.json"), config).unwrap();
            assert_eq!(cgroup_of(dir.path()).unwrap().as_deref(), Some(wanted));
        }
    }

    #[test]
    fn the_note_of_the_first_builds_is_understood_and_that_of_a_later_one_left() {
        let bundle = tempfile::tempdir().unwrap();
        let note = WorkDir::of(bundle.path()).restore_journal();
        std::fs::create_dir(note.parent().unwrap()).unwrap();
        let first = include_str!("../testdata/notes-1/restore.json");
        std::fs::write(&note, first).unwrap();
        let half = HalfRestored::find(bundle.path()).unwrap().unwrap();
        assert_eq!(half.cgroup.as_deref(), Some("default/shm"));
        std::fs::write(&note, first.replacen('{', r#"{"version":9,"#, 1)).unwrap();
        let error = HalfRestored::find(bundle.path()).unwrap_err().to_string();
        assert!(error.contains("unknown version 9") && note.exists());
    }

    #[test]
    fn only_orphans_of_our_own_are_tasks() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let cgroup = own.lines().find_map(|line| {
            let path = line.splitn(3, ':').nth(2)?.trim_matches('/');
            (!path.is_empty()).then(|| path.to_owned())
        });
        let mut half = HalfRestored {
            version: VERSION,
            image_dir: "/nonexistent".into(),
            work_dir: "/nonexistent".into(),
            cgroup,
            before: HashSet::new(),
        };
        if half.cgroup.is_some() {
            assert!(half.tasks().unwrap().contains(&pid));
            half.before.insert(pid);
            assert!(!half.tasks().unwrap().contains(&pid));
        }
        kill(pid);
        child.wait().unwrap();
    }
}

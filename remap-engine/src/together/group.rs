//! The control group by which a container is frozen.

use std::path::{Path, PathBuf};

use crate::process::Process;

/// Where the hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// A control group other than the root of its hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FreezeGroup {
    /// As `/proc/PID/cgroup` has it.
    path: String,
    is_unified: bool,
}

impl FreezeGroup {
    /// That of a process; `None` if it is in none.
    pub(super) fn of(process: &Process) -> Option<Self> {
        parse(&process.read("cgroup").ok()?)
    }

    /// Whether it is the container's own, by its name: `/NAMESPACE/ID` where runc makes the groups,
    /// `…/PREFIX-ID.scope` where systemd does.
    pub(super) fn is_of(&self, id: &str) -> bool {
        let scope = format!("-{id}.scope");
        let last = self.path.rsplit('/').next().unwrap_or_default();
        last == id || last.ends_with(&scope)
    }

    /// Whether a process is in it, or in one below.
    pub(super) fn has(&self, process: &Process) -> bool {
        let Some(other) = Self::of(process) else {
            return false;
        };
        let below = other.path.strip_prefix(&self.path);
        other.is_unified == self.is_unified
            && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// Whether all its tasks are frozen (`freezer.state`, cgroups v1 freezer-subsystem; `frozen` in
    /// `cgroup.events`, v2).
    pub(super) fn is_frozen(&self) -> bool {
        self.is_frozen_below(Path::new(MOUNT))
    }

    fn is_frozen_below(&self, mount: &Path) -> bool {
        let path = self.path.trim_start_matches('/');
        let read = |file: PathBuf| std::fs::read_to_string(file).unwrap_or_default();
        if self.is_unified {
            let events = read(mount.join(path).join("cgroup.events"));
            events.lines().any(|line| line == "frozen 1")
        } else {
            let state = mount.join("freezer").join(path).join("freezer.state");
            read(state).trim() == "FROZEN"
        }
    }
}

/// The line of the freezer controller counts, and without one that of the unified hierarchy
/// (cgroups(7)).
fn parse(text: &[u8]) -> Option<FreezeGroup> {
    let text = String::from_utf8_lossy(text);
    let mut found = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let is_freezer = controllers.split(',').any(|name| name == "freezer");
        if is_freezer || (controllers.is_empty() && found.is_none()) {
            found = Some(FreezeGroup {
                path: path.to_owned(),
                is_unified: !is_freezer,
            });
        }
        if is_freezer {
            break;
        }
    }
    found.filter(|group| !group.path.trim_matches('/').is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(text: &[u8]) -> FreezeGroup {
        parse(text).unwrap()
    }

    #[test]
    fn the_freezer_is_the_controllers_or_that_of_the_unified_hierarchy() {
        let v1 = group(b"0::/x\n6:freezer:/default/c1\n1:cpu:/\n");
        assert_eq!((v1.path.as_str(), v1.is_unified), ("/default/c1", false));
        let v2 = group(b"0::/k8s.slice/cri-containerd-c1.scope\n");
        assert!(v2.is_unified && v2.is_of("c1") && v1.is_of("c1"));
        assert!(!v1.is_of("c") && !v2.is_of("d-c1") && !v1.is_of("default"));
        assert_eq!(parse(b"6:freezer:/\n0::/user\n"), None);
        assert_eq!(parse(b"nonsense\n"), None);
    }

    #[test]
    fn frozen_is_what_the_kernel_says_is_frozen() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let (v1, v2) = (group(b"6:freezer:/d/c1\n"), group(b"0::/d/c1\n"));
        let frozen = || [&v1, &v2].map(|group| group.is_frozen_below(dir.path()));
        assert_eq!(frozen(), [false; 2]);
        write("freezer/d/c1/freezer.state", "FREEZING\n");
        write("d/c1/cgroup.events", "populated 1\nfrozen 0\n");
        assert_eq!(frozen(), [false; 2]);
        write("freezer/d/c1/freezer.state", "FROZEN\n");
        write("d/c1/cgroup.events", "populated 1\nfrozen 1\n");
        assert_eq!(frozen(), [true; 2]);
    }
}

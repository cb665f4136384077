//! The cgroup that the options want the shim itself in.

use std::{io, path::Path};

use crate::cgroup::{MOUNT, roots};

/// Moves process `pid` into `cgroup`, made if it is missing, in every hierarchy: the unified one,
/// or each controller's of cgroup v1. An empty name means: leave it where it is.
///
/// # Errors
/// What the system says; the process may have been moved in some hierarchies then.
pub(crate) fn join(cgroup: &str, pid: u32) -> io::Result<()> {
    join_below(Path::new(MOUNT), cgroup, pid)
}

fn join_below(mount: &Path, cgroup: &str, pid: u32) -> io::Result<()> {
    let cgroup = cgroup.trim_matches('/');
    if cgroup.is_empty() {
        return Ok(());
    }
    for root in roots(mount)? {
        let directory = root.join(cgroup);
        // Beside those of cgroup v1 the unified hierarchy has no controllers. Who has made the
        // cgroup in theirs only would not remove it there.
        let is_beside = root != mount && root.join("cgroup.controllers").exists();
        if is_beside && !directory.exists() {
            continue;
        }
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("cgroup.procs"), pid.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_beside_the_controllers() {
        let mount = tempfile::tempdir().unwrap();
        let path = |name: &str| mount.path().join(name);
        for directory in ["memory", "unified"] {
            std::fs::create_dir(path(directory)).unwrap();
            std::fs::write(path(directory).join("cgroup.procs"), "").unwrap();
        }
        std::fs::write(path("unified/cgroup.controllers"), "").unwrap();
        join_below(mount.path(), "/shims/one", 7).unwrap();
        let joined = std::fs::read(path("memory/shims/one/cgroup.procs")).unwrap();
        assert_eq!(joined, b"7");
        assert!(!path("unified/shims").exists());

        std::fs::create_dir_all(path("unified/shims/one")).unwrap();
        join_below(mount.path(), "/shims/one", 8).unwrap();
        let joined = std::fs::read(path("unified/shims/one/cgroup.procs")).unwrap();
        assert_eq!(joined, b"8");
    }

    #[test]
    fn no_cgroup_is_no_move() {
        assert!(join("", 0).is_ok());
        assert!(join("/", 0).is_ok());
    }
}

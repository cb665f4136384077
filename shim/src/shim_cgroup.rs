//! The cgroup that the options want the shim itself in.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Where the cgroup hierarchies are mounted (cgroups(7)).
const MOUNT: &str = "/sys/fs/cgroup";

/// Moves process `pid` into `cgroup`, made if it is missing, in every hierarchy: the unified one,
/// or each controller's of cgroup v1. An empty name means: leave it where it is.
///
/// # Errors
/// What the system says; the process may have been moved in some hierarchies then.
pub(crate) fn join(cgroup: &str, pid: u32) -> io::Result<()> {
    let cgroup = cgroup.trim_matches('/');
    if cgroup.is_empty() {
        return Ok(());
    }
    for root in roots(Path::new(MOUNT))? {
        let directory = root.join(cgroup);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("cgroup.procs"), pid.to_string())?;
    }
    Ok(())
}

/// The root of each hierarchy; links such as `cpu -> cpu,cpuacct` are passed over.
fn roots(mount: &Path) -> io::Result<Vec<PathBuf>> {
    if mount.join("cgroup.controllers").exists() {
        return Ok(vec![mount.to_owned()]);
    }
    let mut roots = Vec::new();
    for entry in std::fs::read_dir(mount)? {
        let entry = entry?;
        let path = entry.path();
        // cpuset takes no process before its cpus and mems are set, as containerd knows too.
        if entry.file_type()?.is_dir()
            && path.join("cgroup.procs").exists()
            && !path.ends_with("cpuset")
        {
            roots.push(path);
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies() {
        let mount = tempfile::tempdir().unwrap();
        for controller in ["memory", "cpuset", "none"] {
            std::fs::create_dir(mount.path().join(controller)).unwrap();
        }
        for controller in ["memory", "cpuset"] {
            std::fs::write(mount.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        assert_eq!(roots(mount.path()).unwrap(), [mount.path().join("memory")]);
        std::fs::write(mount.path().join("cgroup.controllers"), "").unwrap();
        assert_eq!(roots(mount.path()).unwrap(), [mount.path()]);
        assert!(join("", 0).is_ok());
    }
}
